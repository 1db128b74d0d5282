"""A pretend accelerator: a device "pretend" whose tensors lie in the CPU's memory, but meet no tensor of the CPU.

As CUDA does, it refuses operations on tensors of both devices, and counts where the CPU waits for it. Its results are
the CPU's. Importing it changes torch for the whole process, and models must be loaded before: use a process of its own.
"""

import traceback
from collections import Counter
from typing import Any, cast

import torch
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "pretend"
WAITS: Counter[str] = Counter()
"""How often the CPU waited for a value, by the line of the library that asked for it."""

_ATEN = torch.ops.aten
_COPIES = {_ATEN.copy_.default, _ATEN._to_copy.default, _ATEN.copy.default}
_READS = {
    _ATEN._local_scalar_dense.default, _ATEN.nonzero.default, _ATEN.equal.default, _ATEN.masked_select.default,
    _ATEN.is_nonzero.default,
}  # fmt: skip
"""What gives the CPU a value, or a shape that depends on values."""
_BY_PLACE = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""CUDA takes places on the CPU here, and copies them."""


class MixedDevices(RuntimeError):
    """Tensors of both devices met."""


class OnDevice(torch.Tensor):
    """A tensor of the device; `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnDevice":
        """Wraps a tensor of the CPU."""
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device(DEVICE, 0),
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation on such tensors."""
        return _run(func, args, kwargs or {})

    def __getitem__(self, index: Any) -> Any:
        """Places in a list go to the device, as CUDA has them there."""
        return super().__getitem__(_make(index).to(DEVICE) if isinstance(index, list) else index)

    def numpy(self, *_: Any, **__: Any) -> Any:
        """Refused, as by CUDA."""
        raise MixedDevices(f"{_line()}: numpy() of a tensor on the device")

    def tolist(self) -> Any:
        """Waits for the values."""
        WAITS[_line()] += 1
        return cast("OnDevice", self.detach()).held.tolist()


def _line() -> str:
    """The innermost line of the library that is running."""
    frames = reversed(traceback.extract_stack())
    ours = (frame for frame in frames if "/selection_platform/" in frame.filename)
    return next(
        (f"{frame.filename.rpartition('/selection_platform/')[2]}:{frame.lineno}" for frame in ours), "elsewhere"
    )


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    # In inference mode, operations arrive whole that are made of others.
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        made_of_others = func.decompose(*args, **kwargs)
        if made_of_others is not NotImplemented:
            return made_of_others
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    ours = [each for each in tensors if isinstance(each, OnDevice)]
    others = [each for each in tensors if not isinstance(each, OnDevice) and each.ndim]
    if ours and others and func not in _COPIES and not _is_by_place(func, args):
        raise MixedDevices(f"{_line()}: {func} of tensors on the device and on the CPU")
    moved_to = kwargs.get("device")
    leaves = moved_to is not None and not _is_ours(moved_to)
    into_cpu = func is _ATEN.copy_.default and not isinstance(args[0], OnDevice)
    if ours and (func in _READS or leaves or into_cpu):
        WAITS[_line()] += 1
    kwargs = {**kwargs, "device": torch.device("cpu")} if moved_to is not None else kwargs
    held = tree_map(lambda each: each.held if isinstance(each, OnDevice) else each, (args, kwargs))
    found = func(*held[0], **held[1])
    if leaves or into_cpu:
        return found
    # What is changed in place stays the same tensor.
    same = {id(each.held): each for each in ours}

    def wrapped(each: Any) -> Any:
        if not isinstance(each, torch.Tensor):
            return each
        return same[id(each)] if id(each) in same else OnDevice(each)

    # A view of a tensor from outside inference mode is no inference tensor either.
    is_inference = torch.is_inference_mode_enabled() and not (func.is_view and ours and not ours[0].is_inference())
    with torch.inference_mode(is_inference):
        return tree_map(wrapped, found)


def _is_by_place(func: Any, args: Any) -> bool:
    """Whether it takes elements of a tensor on the device by places, and nothing else from the CPU."""
    if func._schema.name.removeprefix("aten::") not in _BY_PLACE or not isinstance(args[0], OnDevice):
        return False
    return len(args) < 3 or isinstance(args[2], OnDevice) or not args[2].ndim


_setup_privateuseone_for_python_backend(DEVICE)
_LIBRARY = torch.library.Library("_", "IMPL")
_LIBRARY.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
_make = torch.tensor


def _tensor(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
    """torch.tensor, which fills its memory from outside and so knows no device of ours."""
    made = _make(data, *args, device=None if _is_ours(device) else device, **kwargs)
    return made.to(device) if _is_ours(device) else made


torch.tensor = _tensor
