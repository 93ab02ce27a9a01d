"""fastframe on asyncio: the only rooms that know event loops and sockets."""
