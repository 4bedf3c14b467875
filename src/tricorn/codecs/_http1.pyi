from typing import final

from tricorn.codecs.base import RequestHead

@final
class CompiledHTTP1Codec:
    name: str
    strict: bool
    def parse_head(self, head: bytes) -> RequestHead: ...
