namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>The codes of AMQP 0-9-1, section 1.2 of its XML.</summary>
internal enum ReplyCode
{
    /// <summary>None.</summary>
    None = 0,
    Success = 200,
    ContentTooLarge = 311,
    NoRoute = 312,
    NoConsumers = 313,
    ConnectionForced = 320,
    InvalidPath = 402,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

/// <summary>What the codes mean.</summary>
internal static class ReplyCodes
{
    /// <summary>Whether the error ends its channel alone; any other one ends the connection.</summary>
    public static bool IsChannelError(this ReplyCode code) => code is ReplyCode.ContentTooLarge or ReplyCode.NoRoute
        or ReplyCode.NoConsumers or ReplyCode.AccessRefused or ReplyCode.NotFound or ReplyCode.ResourceLocked
        or ReplyCode.PreconditionFailed;

    /// <summary>The name in a reply's text, such as <c>ACCESS_REFUSED</c>.</summary>
    public static string NameOf(this ReplyCode code) => code switch
    {
        ReplyCode.Success => "OK",
        ReplyCode.ContentTooLarge => "CONTENT_TOO_LARGE",
        ReplyCode.NoRoute => "NO_ROUTE",
        ReplyCode.NoConsumers => "NO_CONSUMERS",
        ReplyCode.ConnectionForced => "CONNECTION_FORCED",
        ReplyCode.InvalidPath => "INVALID_PATH",
        ReplyCode.AccessRefused => "ACCESS_REFUSED",
        ReplyCode.NotFound => "NOT_FOUND",
        ReplyCode.ResourceLocked => "RESOURCE_LOCKED",
        ReplyCode.PreconditionFailed => "PRECONDITION_FAILED",
        ReplyCode.FrameError => "FRAME_ERROR",
        ReplyCode.SyntaxError => "SYNTAX_ERROR",
        ReplyCode.CommandInvalid => "COMMAND_INVALID",
        ReplyCode.ChannelError => "CHANNEL_ERROR",
        ReplyCode.UnexpectedFrame => "UNEXPECTED_FRAME",
        ReplyCode.ResourceError => "RESOURCE_ERROR",
        ReplyCode.NotAllowed => "NOT_ALLOWED",
        ReplyCode.NotImplemented => "NOT_IMPLEMENTED",
        _ => "INTERNAL_ERROR",
    };
}
