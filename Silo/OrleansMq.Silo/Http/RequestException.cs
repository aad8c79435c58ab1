namespace OrleansMq.Silo.Http;

/// <summary>A request that is answered with problem details; the message names the parameter, field or path, and the fix.</summary>
internal sealed class RequestException(int status, ErrorCode code, string message) : Exception(message)
{
    /// <summary>A request that contradicts the API: 400.</summary>
    public RequestException(string message) : this(StatusCodes.Status400BadRequest, ErrorCode.InvalidRequest, message) { }

    /// <summary>The HTTP status.</summary>
    public int Status { get; } = status;

    /// <summary>The broker API's name for it.</summary>
    public ErrorCode Code { get; } = code;
}
