namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>A request of the management API is refused.</summary>
/// <param name="status">The HTTP status.</param>
/// <param name="error">RabbitMQ's name of the error.</param>
/// <param name="reason">What is wrong.</param>
internal sealed class ManagementException(int status, string error, string reason) : Exception(reason)
{
    /// <summary>The HTTP status.</summary>
    public int Status { get; } = status;

    /// <summary>RabbitMQ's name of the error.</summary>
    public string Error { get; } = error;

    /// <summary>What is asked for does not exist.</summary>
    public static ManagementException NotFound() => new(404, "Object Not Found", "Not Found");

    /// <summary>The request is wrong.</summary>
    public static ManagementException Bad(string reason) => new(400, "bad_request", reason);

    /// <summary>The body is too large.</summary>
    public static ManagementException TooLarge(string reason) => new(413, "payload_too_large", reason);

    /// <summary>It cannot be done now.</summary>
    public static ManagementException Unavailable(string reason) => new(503, "service_unavailable", reason);

    /// <summary>The user has used up a quota.</summary>
    public static ManagementException TooMany(string reason) => new(429, "too_many_requests", reason);

    /// <summary>The user is unknown, or may not do this.</summary>
    public static ManagementException NotAuthorized(string reason) => new(401, "not_authorized", reason);
}
