from typing import final

from tricorn.codecs.base import RequestHead

@final
class CompiledHTTP1Codec:
    name: str
    strict: bool
    def parse_head(self, head: bytes) -> RequestHead: ...
    def parse_first(self, received: bytes) -> tuple[RequestHead, int] | None: ...
