namespace OrleansMq.Gateways.Http;

/// <summary>An error that is answered with problem details. The message names the parameter, field or path, and the fix.</summary>
internal sealed class RequestException(int status, ErrorCode code, string message) : Exception(message)
{
    /// <summary>Creates the error of an invalid request: 400.</summary>
    public RequestException(string message) : this(StatusCodes.Status400BadRequest, ErrorCode.InvalidRequest, message) { }

    /// <summary>The HTTP status.</summary>
    public int Status { get; } = status;

    /// <summary>The broker API's error code.</summary>
    public ErrorCode Code { get; } = code;
}
