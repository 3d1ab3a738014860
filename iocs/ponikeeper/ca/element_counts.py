"""Values with as many elements as a client requests."""

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
"""Longest value that is built (bytes): a client may request billions of elements."""

_SHORT = 0xFFFF
"""Sizes and counts below this fit the short header of a message."""


def exceeds_limit(data_type: int, requested: int) -> bool:
    """Return whether the requested elements would be longer than `MAX_VALUE_BYTES`."""
    return requested * _item(data_type) > MAX_VALUE_BYTES


def _item(data_type: int) -> int:
    return _ITEM.get(ca.native_type(data_type), 0)  # a record type or an acknowledgement has none


def padded(response: Any, requested: int) -> Any:
    """Return a response with as many elements as requested, padded with zeros, as EPICS base does.

    caproto sends only the existing elements, but an update's header has the requested count. CAJ, the client
    of Phoebus, trusts the header and shows no value.

    Parameters
    ----------
    response
        A response of caproto to a get or a subscription.
    requested
        Elements that the client requested; 0 for the existing ones.

    Returns
    -------
    caproto.ReadResponse, caproto.ReadNotifyResponse or caproto.EventAddResponse
        The response itself if it has that many elements.
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
