namespace OrleansMq.Client;

/// <summary>The headers of requests and replies. Values are text; a number that cannot be read is as none. Clients of any protocol may set
/// and read them.</summary>
public static class RequestHeaders
{
    /// <summary>Of a request: the topic to which the reply goes. A record without it asks for no reply.</summary>
    public const string ReplyTo = "omq.reply-to";

    /// <summary>Of a request: the partition of <see cref="ReplyTo"/>, as a decimal number; absent where any will do.</summary>
    public const string ReplyPartition = "omq.reply-partition";

    /// <summary>Of a request: its id, which the reply carries too.</summary>
    public const string CorrelationId = "omq.correlation-id";

    /// <summary>Of a request: when the caller stops waiting, in milliseconds since 1970 by the caller's clock; absent where it does
    /// not.</summary>
    public const string Deadline = "omq.deadline";

    /// <summary>Of a reply without a value: why the request failed, at most 1,024 characters.</summary>
    public const string Error = "omq.error";

    /// <summary>Of a reply with <see cref="Error"/>: the type of the responder's exception.</summary>
    public const string ErrorType = "omq.error-type";
}
