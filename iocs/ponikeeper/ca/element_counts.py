"""As many elements as a client asked for."""

from typing import Any

import caproto as ca
from caproto import ChannelType
from caproto._headers import ExtendedMessageHeader, MessageHeader

_ITEM = {
    ChannelType.STRING: 40, ChannelType.INT: 2, ChannelType.FLOAT: 4, ChannelType.ENUM: 2,
    ChannelType.CHAR: 1, ChannelType.LONG: 4, ChannelType.DOUBLE: 8,
}  # fmt: skip
"""Bytes of one element on the wire."""

MAX_VALUE_BYTES = 1 << 20
"""Bytes of the longest value that is made: a client may ask for billions of elements of anything."""

_SHORT = 0xFFFF
"""Sizes and counts below it fit the short header of a message."""


def exceeds_limit(data_type: int, requested: int) -> bool:
    """Tell whether so many elements are more than a server makes."""
    return requested * _item(data_type) > MAX_VALUE_BYTES


def _item(data_type: int) -> int:
    return _ITEM.get(ca.native_type(data_type), 0)  # what is left has no elements: a record type, an acknowledgement


def padded(response: Any, requested: int) -> Any:
    """Give a value with as many elements as were asked for, the missing ones zero, as EPICS base does.

    caproto gives those that there are, and writes into an update's header how many were asked for all the same.
    CAJ, by which Phoebus reads, believes it, and has no value.

    Parameters
    ----------
    response
        A response of caproto to a get or a subscription.
    asked
        Elements that the client asked for; 0 for those that there are.
    """
    header, (metadata, values) = response.header, response.buffers[:2]
    item = _item(header.data_type)
    if not item:
        return response
    values = bytes(values)
    present = len(values) // item
    if requested <= present:
        return response
    parts = [bytes(metadata), values.ljust(requested * item, b"\0")]
    size = sum(map(len, parts))
    parts.append(bytes(-size % 8))
    size += len(parts[-1])
    header_class = MessageHeader if max(size, requested) < _SHORT else ExtendedMessageHeader
    header = header_class(header.command, size, header.data_type, requested, header.parameter1, header.parameter2)
    return type(response).from_components(header, *parts)
