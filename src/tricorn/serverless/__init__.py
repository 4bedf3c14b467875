"""Run an application as an AWS Lambda function: ``handler = LambdaHandler(app)``.

Events of API Gateway (REST APIs, HTTP APIs with payload formats 1.0 and 2.0), of function
URLs and of Application Load Balancers become ASGI exchanges, and their responses what the
source takes. ``python -m tricorn.serverless`` is a runtime for containers and custom
runtimes, which can also stream responses.
"""

from tricorn.serverless.events import EventError, EventSource, Request, Response
from tricorn.serverless.handler import LambdaHandler
from tricorn.serverless.response import TEXT_MIME_TYPES

__all__ = [
    "TEXT_MIME_TYPES",
    "EventError",
    "EventSource",
    "LambdaHandler",
    "Request",
    "Response",
]
