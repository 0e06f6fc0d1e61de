"""Machine code for this processor, written with LLVM's own instructions: loops, vectors, and what calls them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from llvmlite import binding, ir

__all__ = ["DOUBLE", "FLOAT", "I32", "I64", "Code", "has_feature", "numbers", "vector"]

I32, I64 = ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
FUSED = ("contract",)  # multiply and add may be one instruction


def vector(kind: Any, lanes: int) -> Any:
    """Return the type of a vector of so many numbers of a kind."""
    return ir.VectorType(kind, lanes)


def numbers(kind: Any, values: Sequence[float]) -> Any:
    """Return a constant vector."""
    return ir.Constant(ir.VectorType(kind, len(values)), list(values))


class Code:
    """One function without a result, under construction: arguments by name as attributes, then `compile`.

    Arrays are pointers that overlap no other, which compilers of array languages cannot know: it is what lets loads and
    stores be reordered. An index counts elements of what the pointer points to.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.module = ir.Module(name)
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), list(arguments.values())), name)
        for value, (key, kind) in zip(function.args, arguments.items(), strict=True):
            value.name = key
            if isinstance(kind, ir.PointerType):
                value.add_attribute("noalias")
        self.arguments = dict(zip(arguments, function.args, strict=True))
        self.emit = ir.IRBuilder(function.append_basic_block())
        self.name = name

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["arguments"][name]
        except KeyError:
            raise AttributeError(name) from None

    def variable(self, value: Any) -> Any:
        """Make a variable with a first value; LLVM keeps it in a register where it can."""
        with self.emit.goto_entry_block():
            place = self.emit.alloca(value.type)
        self.emit.store(value, place)
        return place

    @contextmanager
    def loop(self, start: Any, stop: Any, step: Any = 1) -> Iterator[Any]:
        """Count from start to below stop."""
        emit = self.emit
        place = self.variable(start)
        check, body, after = (emit.append_basic_block() for _ in range(3))
        emit.branch(check)
        emit.position_at_end(check)
        index = emit.load(place)
        emit.cbranch(emit.icmp_signed("<", index, stop), body, after)
        emit.position_at_end(body)
        yield index
        emit.store(emit.add(index, I64(step) if isinstance(step, int) else step), place)
        emit.branch(check)
        emit.position_at_end(after)

    def load(self, array: Any, index: Any) -> Any:
        """Load an element of an array; whole numbers as 64 bits."""
        value = self.emit.load(self.emit.gep(array, [index]))
        return self.emit.sext(value, I64) if value.type == I32 else value

    def greater(self, a: Any, b: Any) -> Any:
        """Return the greater of two whole numbers."""
        return self.emit.select(self.emit.icmp_signed(">", a, b), a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        """Return the smaller of two whole numbers."""
        return self.emit.select(self.emit.icmp_signed("<", a, b), a, b)

    def spread(self, value: Any, lanes: int) -> Any:
        """Return a vector of equal numbers."""
        kind = ir.VectorType(value.type, lanes)
        single = self.emit.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
        return self.emit.shuffle_vector(single, single, numbers(I32, [0] * lanes))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once where the processor can."""
        return self.emit.fadd(self.emit.fmul(a, b, flags=FUSED), c, flags=FUSED)

    def add_to(self, place: Any, a: Any, b: Any) -> None:
        """Add a b to the vector at a place, which need be aligned for its numbers only."""
        align = 4 if a.type.element == FLOAT else 8
        self.emit.store(self.fma(a, b, self.emit.load(place, align=align)), place, align=align)

    def add_to_variable(self, place: Any, a: Any, b: Any) -> None:
        """Add a b to a variable."""
        self.emit.store(self.fma(a, b, self.emit.load(place)), place)

    def compile(self) -> Callable[..., None]:
        """Return the function as a callable that holds no lock of Python's while it runs."""
        self.emit.ret_void()
        module = binding.parse_assembly(str(self.module))
        machine = _machine()
        options = binding.create_pipeline_tuning_options(speed_level=3)
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        engine = binding.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        kinds = [
            ctypes.c_void_p if isinstance(argument.type, ir.PointerType) else ctypes.c_int64
            for argument in self.arguments.values()
        ]
        function = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(self.name))
        function.engine = engine  # type: ignore[attr-defined]  # the code lives as long as the engine
        return function


def has_feature(name: str) -> bool:
    """Whether this processor has a feature, by LLVM's name for it: avx2, fma, neon."""
    return bool(_features().get(name, False))


@cache
def _features() -> Any:
    return binding.get_host_cpu_features()


def _machine() -> Any:
    # A machine belongs to the engine that it is given to, so each function has its own.
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=_features().flatten(),
        opt=3,
        jit=True,
    )
