from tests.servers.fixtures import range_server

__all__ = ["range_server"]
