using Microsoft.Extensions.Logging;
using Orleans.Runtime.Messaging;
using OrleansMq.Connections;

namespace OrleansMq.Client;

/// <summary>Lets an Orleans client that starts before the cluster wait for it, and says so in one line a minute.</summary>
internal sealed partial class ConnectionRetries(ILoggerFactory loggers, TimeProvider? time = null) : IClientConnectionRetryFilter
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(1);

    private readonly ILogger _logger = loggers.CreateLogger("OrleansMq.Client.Orleans");
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private long? _logged;

    /// <inheritdoc/>
    public async Task<bool> ShouldRetryConnectionAttempt(Exception exception, CancellationToken cancellationToken)
    {
        // Others are faults of the configuration.
        if (exception is not (OrleansMessageRejectionException or ConnectionFailedException or TimeoutException))
            return false;
        if (_logged is not { } logged || _time.GetElapsedTime(logged) >= Silence)
        {
            _logged = _time.GetTimestamp();
            LogWaiting(_logger, ReasonOf(exception));
        }
        await Task.Delay(Pause, _time, cancellationToken).ConfigureAwait(false);
        return true;
    }

    // Orleans wraps it, more than once.
    private static string ReasonOf(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is UnreachableEndpointException)
                return cause.Message;
        }
        return exception.Message;
    }

    [LoggerMessage(1, LogLevel.Warning, "No silo of the cluster answers yet, and the start waits for one: {Reason}. Is a broker's silo "
        + "running, and is this its gateway?")]
    private static partial void LogWaiting(ILogger logger, string reason);
}
