using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace OrleansMq.Client;

/// <summary>Whether a broker answers, and whether message handlers have failed or stopped partitions.</summary>
internal sealed class OrleansMqHealthCheck(OrleansMqClient client, IEnumerable<IHostedMessageHandler> handlers) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var data = new Dictionary<string, object>();
        List<string> stopped = [];
        Exception? failure = null;
        List<string> failed = [];
        foreach (var handler in handlers)
        {
            data[$"{handler.Name}.assigned"] = handler.Assignment.Count;
            data[$"{handler.Name}.handled"] = handler.Statistics.Handled;
            data[$"{handler.Name}.deadLettered"] = handler.Statistics.DeadLettered;
            if (handler.Completion.Exception?.InnerException is { } reasonToFail)
            {
                failure ??= reasonToFail;
                failed.Add($"{handler.Name} has failed: {reasonToFail.Message}");
            }
            foreach (var (partition, reason) in handler.Stopped)
                stopped.Add($"{handler.Name} has stopped {partition}: {reason.Message}");
        }
        try
        {
            var cluster = await client.Admin.DescribeClusterAsync(cancellationToken).ConfigureAwait(false);
            data["brokers"] = cluster.Brokers.Count;
        }
        catch (OrleansMqException e)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, $"No broker answers: {e.Message}", e, data);
        }
        catch (OperationCanceledException e)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, "No broker answered in time.", e, data);
        }
        if (failure is not null)
            return new HealthCheckResult(context.Registration.FailureStatus, string.Join(" ", failed), failure, data);
        return stopped.Count == 0 ? HealthCheckResult.Healthy("A broker answers; no partition has stopped.", data)
            : HealthCheckResult.Degraded(string.Join(" ", stopped), null, data);
    }
}
