from tests.servers.fixtures import range_server, s3_server

__all__ = ["range_server", "s3_server"]
