"""Raw data of MRI scanners: readouts and headers, which become measurements. What readers of raw formats share."""
