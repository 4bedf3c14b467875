"""The sentences the cases rest on, quoted from the specifications."""

from __future__ import annotations

from compliance.http1.model import Quote

# General
INTERPRET = Quote(
    "RFC 9110 2.4",
    "A recipient MUST interpret a received protocol element according to the semantics defined "
    "for it by this specification, including extensions to this specification, unless the "
    "recipient has determined (through experience or configuration) that the sender incorrectly "
    "implements what is implied by those semantics.",
)
SENDER_GRAMMAR = Quote(
    "RFC 9110 2.2",
    "A sender MUST NOT generate protocol elements that do not match the grammar defined by the "
    "corresponding ABNF rules.",
)
GRAMMAR = Quote(
    "RFC 9112 2.2",
    "the server SHOULD respond with a 400 (Bad Request) response and close the connection.",
)
BARE_CR = Quote(
    "RFC 9112 2.2",
    "A recipient of such a bare CR MUST consider that element to be invalid or replace each bare "
    "CR with SP before processing the element or forwarding the message.",
)
BARE_LF = Quote(
    "RFC 9112 2.2",
    "a recipient MAY recognize a single LF as a line terminator and ignore any preceding CR.",
)
LEADING_CRLF = Quote(
    "RFC 9112 2.2",
    "a server that is expecting to receive and parse a request-line SHOULD ignore at least one "
    "empty line (CRLF) received prior to the request-line.",
)
FIRST_LINE_SPACE = Quote(
    "RFC 9112 2.2",
    "A recipient that receives whitespace between the start-line and the first header field MUST "
    "either reject the message as invalid or consume each whitespace-preceded line without "
    "further processing of it",
)
INCOMPLETE = Quote(
    "RFC 9112 8",
    "A server that receives an incomplete request message, usually due to a canceled request or "
    "a triggered timeout exception, MAY send an error response prior to closing the connection.",
)

# Versions
HIGHER_MINOR = Quote(
    "RFC 9110 2.5",
    "A recipient that receives a message with a major version number that it implements and a "
    "minor version number higher than what it implements SHOULD process the message as if it "
    "were in the highest minor version within that major version to which the recipient is "
    "conformant.",
)
RESPONSE_VERSION = Quote(
    "RFC 9110 6.2",
    "A server SHOULD send a response version equal to the highest version to which the server is "
    "conformant that has a major version less than or equal to the one received in the request.",
)
UNSUPPORTED_VERSION = Quote(
    "RFC 9110 6.2",
    "A server can send a 505 (HTTP Version Not Supported) response if it wishes, for any reason, "
    "to refuse service of the client's major protocol version.",
)

# Request line, method, target
REQUEST_LINE = Quote(
    "RFC 9112 3.2",
    "Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) error "
    "or a 301 (Moved Permanently) redirect with the request-target properly encoded.",
)
LENIENT_LINE = Quote(
    "RFC 9112 3",
    "recipients MAY instead parse on whitespace-delimited word boundaries and, aside from the "
    "CRLF terminator, treat any form of whitespace as the SP separator while ignoring preceding "
    "or trailing whitespace",
)
LINE_LENGTH = Quote(
    "RFC 9112 3",
    "It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line "
    "lengths of 8000 octets.",
)
LONG_METHOD = Quote(
    "RFC 9112 3",
    "A server that receives a method longer than any that it implements SHOULD respond with a "
    "501 (Not Implemented) status code.",
)
LONG_TARGET = Quote(
    "RFC 9112 3",
    "A server that receives a request-target longer than any URI it wishes to parse MUST respond "
    "with a 414 (URI Too Long) status code",
)
UNKNOWN_METHOD = Quote(
    "RFC 9110 9.1",
    "An origin server that receives a request method that is unrecognized or not implemented "
    "SHOULD respond with the 501 (Not Implemented) status code.",
)
METHOD_CASE = Quote("RFC 9112 3.1", "The request method is case-sensitive.")
CONNECT_PORT = Quote(
    "RFC 9110 9.3.6",
    "A server MUST reject a CONNECT request that targets an empty or invalid port number, "
    "typically by responding with a 400 (Bad Request) status code.",
)
TRACE_CONTENT = Quote("RFC 9110 9.3.8", "A client MUST NOT send content in a TRACE request.")
TRACE = Quote(
    "RFC 9110 9.3.8",
    "The final recipient of the request SHOULD reflect the message received, excluding some "
    "fields described below, back to the client as the content of a 200 (OK) response.",
)
ABSOLUTE_FORM = Quote(
    "RFC 9112 3.2.2",
    "A server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will "
    "only send the absolute-form to a proxy.",
)
ABSOLUTE_HOST = Quote(
    "RFC 9112 3.2.2",
    "When an origin server receives a request with an absolute-form of request-target, the "
    "origin server MUST ignore the received Host header field (if any) and instead use the host "
    "information of the request-target.",
)
EMPTY_HOST_URI = Quote(
    "RFC 9110 4.2.1", "A recipient that processes such a URI reference MUST reject it as invalid."
)
USERINFO = Quote(
    "RFC 9110 4.2.4",
    'Before making use of an "http" or "https" URI reference received from an untrusted source, '
    "a recipient SHOULD parse for userinfo and treat its presence as an error",
)
ASTERISK = Quote(
    "RFC 9112 3.2.4",
    "The asterisk-form of request-target is only used for a server-wide OPTIONS request",
)

# Host
HOST = Quote(
    "RFC 9112 3.2",
    "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message "
    "that lacks a Host header field and to any request message that contains more than one Host "
    "header field line or a Host header field with an invalid field value.",
)

# Fields
SPACE_BEFORE_COLON = Quote(
    "RFC 9112 5.1",
    "A server MUST reject, with a response status code of 400 (Bad Request), any received request "
    "message that contains whitespace between a header field name and colon.",
)
OBS_FOLD = Quote(
    "RFC 9112 5.2",
    'A server that receives an obs-fold in a request message that is not within a "message/http" '
    "container MUST either reject the message by sending a 400 (Bad Request), preferably with a "
    "representation explaining that obsolete line folding is unacceptable, or replace each "
    "received obs-fold with one or more SP octets prior to interpreting the field value or "
    "forwarding the message downstream.",
)
CR_LF_NUL = Quote(
    "RFC 9110 5.5",
    "a recipient of CR, LF, or NUL within a field value MUST either reject the message or replace "
    "each of those characters with SP before further processing or forwarding of that message.",
)
OTHER_CONTROLS = Quote(
    "RFC 9110 5.5",
    "Field values containing other CTL characters are also invalid; however, recipients MAY "
    "retain such characters for the sake of robustness when they appear within a safe context",
)
OBS_TEXT = Quote(
    "RFC 9110 5.5",
    "A recipient SHOULD treat other allowed octets in field content (i.e., obs-text) as opaque "
    "data.",
)
OWS = Quote(
    "RFC 9110 5.5",
    "When a specific version of HTTP allows such whitespace to appear in a message, a field "
    "parsing implementation MUST exclude such whitespace prior to evaluating the field value.",
)
FIELDS_TOO_LARGE = Quote(
    "RFC 9110 5.4",
    "A server that receives a request header field line, field value, or set of fields larger "
    "than it wishes to process MUST respond with an appropriate 4xx (Client Error) status code.",
)

# Framing
BAD_LENGTH = Quote(
    "RFC 9112 6.3",
    "If the unrecoverable error is in a request message, the server MUST respond with a 400 (Bad "
    "Request) status code and then close the connection.",
)
REPEATED_LENGTH = Quote(
    "RFC 9110 8.6",
    "MAY either reject the message as invalid or replace that invalid field value with a single "
    "instance of the decimal value",
)
LARGE_LENGTH = Quote(
    "RFC 9110 8.6",
    "a recipient MUST anticipate potentially large decimal numerals and prevent parsing errors "
    "due to integer conversion overflows or precision loss due to integer conversion",
)
SHORT_BODY = Quote(
    "RFC 9112 6.3",
    "If the sender closes the connection or the recipient times out before the indicated number "
    "of octets are received, the recipient MUST consider the message to be incomplete and close "
    "the connection.",
)
NOT_FINAL_CHUNKED = Quote(
    "RFC 9112 6.3",
    "If a Transfer-Encoding header field is present in a request and the chunked transfer coding "
    "is not the final encoding, the message body length cannot be determined reliably; the "
    "server MUST respond with the 400 (Bad Request) status code and then close the connection.",
)
UNKNOWN_CODING = Quote(
    "RFC 9112 6.1",
    "A server that receives a request message with a transfer coding it does not understand "
    "SHOULD respond with 501 (Not Implemented).",
)
CHUNKED_ONCE = Quote(
    "RFC 9112 6.1",
    "A sender MUST NOT apply the chunked transfer coding more than once to a message body (i.e., "
    "chunking an already chunked message is not allowed).",
)
CHUNKED_PARAMETERS = Quote(
    "RFC 9112 7.1",
    "The chunked coding does not define any parameters. Their presence SHOULD be treated as an "
    "error.",
)
PARSE_CHUNKED = Quote(
    "RFC 9112 7.1", "A recipient MUST be able to parse and decode the chunked transfer coding."
)
EMPTY_ELEMENTS = Quote(
    "RFC 9110 5.6.1.2",
    "A recipient MUST parse and ignore a reasonable number of empty list elements: enough to "
    "handle common mistakes by senders that merge values, but not so much that they could be "
    "used as a denial-of-service mechanism.",
)
BOTH_LENGTHS = Quote(
    "RFC 9112 6.1",
    "Regardless, the server MUST close the connection after responding to such a request to avoid "
    "the potential attacks.",
)
CODING_IN_1_0 = Quote(
    "RFC 9112 6.1",
    "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header "
    "field MUST treat the message as if the framing is faulty, even if a Content-Length is "
    "present, and close the connection after processing the message.",
)
CODING_TO_1_0 = Quote(
    "RFC 9112 6.1",
    "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding "
    "request indicates HTTP/1.1 (or later minor revisions).",
)
LARGE_CHUNK = Quote(
    "RFC 9112 7.1",
    "recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors "
    "due to integer conversion overflows or precision loss due to integer representation.",
)
CHUNK_EXTENSIONS = Quote("RFC 9112 7.1.1", "A recipient MUST ignore unrecognized chunk extensions.")
CHUNK_EXTENSION_SIZE = Quote(
    "RFC 9112 7.1.1",
    "A server ought to limit the total length of chunk extensions received in a request to an "
    "amount reasonable for the services provided",
)
BAD_WHITESPACE = Quote(
    "RFC 9110 5.6.3",
    "A recipient MUST parse for such bad whitespace and remove it before interpreting the "
    "protocol element.",
)
TRAILER_MERGE = Quote(
    "RFC 9112 7.1.2",
    "A recipient MUST NOT merge a received trailer field into the header section unless its "
    "corresponding header field definition explicitly permits and instructs how the trailer "
    "field value can be safely merged.",
)

# Connections
PERSISTENT = Quote("RFC 9112 9.3", "HTTP implementations SHOULD support persistent connections.")
CLOSE_AFTER = Quote(
    "RFC 9112 9.6",
    'A server that receives a "close" connection option MUST initiate closure of the connection '
    '(see below) after it sends the final response to the request that contained the "close" '
    "connection option.",
)
CLOSE_SAYS_CLOSE = Quote(
    "RFC 9112 9.6",
    'The server SHOULD send a "close" connection option in its final response on that connection.',
)
CLOSE_NO_MORE = Quote(
    "RFC 9112 9.6",
    "The server MUST NOT process any further requests received on that connection.",
)
CLOSE_SENT = Quote(
    "RFC 9112 9.6",
    'A server that sends a "close" connection option MUST initiate closure of the connection (see '
    'below) after it sends the response containing the "close" connection option.',
)
PERSIST_RULES = Quote(
    "RFC 9112 9.3",
    "A recipient determines whether a connection is persistent or not based on the protocol "
    "version and Connection header field",
)
READ_OR_CLOSE = Quote(
    "RFC 9112 9.3",
    "A server MUST read the entire request message body or close the connection after sending its "
    "response; otherwise, the remaining data on a persistent connection would be misinterpreted "
    "as the next request.",
)
PIPELINE_ORDER = Quote(
    "RFC 9112 9.3.2",
    "it MUST send the corresponding responses in the same order that the requests were received.",
)
TEARDOWN = Quote(
    "RFC 9112 9.6",
    "To avoid the TCP reset problem, servers typically close a connection in stages.",
)

# Expect
CONTINUE_OR_FINAL = Quote(
    "RFC 9110 10.1.1",
    "The origin server MUST NOT wait for the content before sending the 100 (Continue) response.",
)
CONTINUE_EITHER = Quote(
    "RFC 9110 10.1.1",
    "an origin server MUST send either:",
)
CONTINUE_1_0 = Quote(
    "RFC 9110 10.1.1",
    "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that "
    "expectation.",
)
CONTINUE_OMIT = Quote(
    "RFC 9110 10.1.1",
    "A server MAY omit sending a 100 (Continue) response if it has already received some or all "
    "of the content for the corresponding request, or if the framing indicates that there is no "
    "content.",
)
CONTINUE_FINAL = Quote(
    "RFC 9110 10.1.1",
    "A server that sends a 100 (Continue) response MUST ultimately send a final status code, once "
    "it receives and processes the request content, unless the connection is closed prematurely.",
)
EXPECT_OTHER = Quote(
    "RFC 9110 10.1.1",
    "A server that receives an Expect field value containing a member other than 100-continue "
    "MAY respond with a 417 (Expectation Failed) status code",
)
EXPECT_CLOSE = Quote(
    "RFC 9110 10.1.1",
    "A server that responds with a final status code before reading the entire request content "
    "SHOULD indicate whether it intends to close the connection",
)

# Responses
STATUS_LINE_SPACE = Quote(
    "RFC 9112 4",
    "A server MUST send the space that separates the status-code from the reason-phrase even when "
    "the reason-phrase is absent (i.e., the status-line would end with the space).",
)
DATE = Quote(
    "RFC 9110 6.6.1",
    "An origin server with a clock (as defined in Section 5.6.7) MUST generate a Date header "
    "field in all 2xx (Successful), 3xx (Redirection), and 4xx (Client Error) responses",
)
LENGTH_AND_CODING = Quote(
    "RFC 9112 6.2",
    "A sender MUST NOT send a Content-Length header field in any message that contains a "
    "Transfer-Encoding header field.",
)
NO_LENGTH_204 = Quote(
    "RFC 9110 8.6",
    "A server MUST NOT send a Content-Length header field in any response with a status code of "
    "1xx (Informational) or 204 (No Content).",
)
NO_CODING_204 = Quote(
    "RFC 9112 6.1",
    "A server MUST NOT send a Transfer-Encoding header field in any response with a status code "
    "of 1xx (Informational) or 204 (No Content).",
)
NO_BODY = Quote(
    "RFC 9112 6.3",
    "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No "
    "Content), or 304 (Not Modified) status code is always terminated by the first empty line "
    "after the header fields, regardless of the header fields present in the message, and thus "
    "cannot contain a message body or trailer section.",
)
LENGTH_304 = Quote(
    "RFC 9110 8.6",
    "a server MUST NOT send Content-Length in such a response unless its field value equals the "
    "decimal number of octets that would have been sent in the content of a 200 (OK) response to "
    "the same request.",
)
HEAD_NO_CONTENT = Quote(
    "RFC 9110 9.3.2",
    "The HEAD method is identical to GET except that the server MUST NOT send content in the "
    "response.",
)
HEAD_SAME_FIELDS = Quote(
    "RFC 9110 9.3.2",
    "The server SHOULD send the same header fields in response to a HEAD request as it would have "
    "sent if the request method had been GET.",
)
DELIMITED = Quote(
    "RFC 9112 6.3",
    "a server SHOULD generate encoding or length-delimited messages whenever possible.",
)
CORRECT_LENGTH = Quote(
    "RFC 9110 8.6",
    "a sender MUST NOT forward a message with a Content-Length header field value that is known "
    "to be incorrect.",
)
ERROR_STATUS = Quote(
    "RFC 9110 15.6.1",
    "The 500 (Internal Server Error) status code indicates that the server encountered an "
    "unexpected condition that prevented it from fulfilling the request.",
)
INCOMPLETE_CHUNKED = Quote(
    "RFC 9112 8",
    "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk "
    "that terminates the encoding has not been received.",
)

# Upgrade and WebSocket
UPGRADE_IGNORE = Quote(
    "RFC 9110 7.8",
    "A server MAY ignore a received Upgrade header field if it wishes to continue using the "
    "current protocol on that connection.",
)
UPGRADE_1_0 = Quote(
    "RFC 9110 7.8",
    "A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that "
    "Upgrade field.",
)
UPGRADE_NAMED = Quote(
    "RFC 9110 7.8",
    "A server MUST NOT switch to a protocol that was not indicated by the client in the "
    "corresponding request's Upgrade header field.",
)
UPGRADE_FIELD = Quote(
    "RFC 9110 7.8",
    "A server that sends a 101 (Switching Protocols) response MUST send an Upgrade header field "
    "to indicate the new protocol(s) to which the connection is being switched",
)
UPGRADE_426 = Quote(
    "RFC 9110 15.5.22",
    "The server MUST send an Upgrade header field in a 426 response to indicate the required "
    "protocol(s)",
)
H2C_REMOVED = Quote(
    "RFC 9113 3.1",
    'The "h2c" string was previously used as a token for use in the HTTP Upgrade mechanism\'s '
    "Upgrade header field",
)
H2_PREFACE = Quote(
    "RFC 9113 3.4",
    "In HTTP/2, each endpoint is required to send a connection preface as a final confirmation of "
    "the protocol in use",
)
WS_HANDSHAKE = Quote(
    "RFC 6455 4.2.1",
    "the server MUST stop processing the client's handshake and return an HTTP response with an "
    "appropriate error code (such as 400 Bad Request).",
)
WS_VERSION = Quote(
    "RFC 6455 4.2.2",
    "If this version does not match a version understood by the server, the server MUST abort "
    "the WebSocket handshake described in this section and instead send an appropriate HTTP "
    "error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field "
    "indicating the version(s) the server is capable of understanding.",
)
WS_ACCEPT = Quote(
    "RFC 6455 4.2.2",
    "If the server chooses to accept the incoming connection, it MUST reply with a valid HTTP "
    "response indicating the following.",
)
WS_REJECT = Quote(
    "RFC 6455 4.2.2",
    "If the server does not wish to accept this connection, it MUST return an appropriate HTTP "
    "error code (e.g., 403 Forbidden) and abort the WebSocket handshake described in this "
    "section.",
)
