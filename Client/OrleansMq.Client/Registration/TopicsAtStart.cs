using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>Creates the topics that the application declares, before its message handlers start.</summary>
internal sealed partial class TopicsAtStart(OrleansMqClient client, IEnumerable<DeclaredTopic> topics, ILogger logger) : IHostedService
{
    private static readonly TimeSpan Backoff = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MaxBackoff = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private Task? _ensured;

    public Task StartAsync(CancellationToken cancellationToken) => EnsureAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Completes when all topics exist. The first caller begins the work.</summary>
    public Task EnsureAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
            return _ensured ??= EnsureAllAsync(cancellationToken);
    }

    private async Task EnsureAllAsync(CancellationToken cancellationToken)
    {
        await Task.Yield(); // Leaves the lock.
        foreach (var topic in topics)
            await EnsureAsync(topic, cancellationToken).ConfigureAwait(false);
    }

    private async Task EnsureAsync(DeclaredTopic topic, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await client.Admin.EnsureTopicAsync(topic.Name, topic.Partitions, topic.Configs, topic.ReplicationFactor, cancellationToken)
                    .ConfigureAwait(false);
                return;
            }
            catch (BrokerException e) when (e.Action == ErrorAction.Retry)
            {
                if (attempt == 1)
                    LogRetry(topic.Name, e.Message);
                await Task.Delay(RetryBackoff.For(attempt, Backoff, MaxBackoff, Random.Shared.NextDouble()), cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (BrokerException e) when (!e.Message.Contains($"'{topic.Name}'", StringComparison.Ordinal))
            {
                throw new BrokerException(e.Code, $"AddTopic: topic '{topic.Name}' is refused. {e.Message}", e);
            }
        }
    }

    [LoggerMessage(52, LogLevel.Warning, "Topic {Topic} can be neither found nor created yet; the start waits for it. {Reason}")]
    private partial void LogRetry(string topic, string reason);
}

/// <summary>A topic that the application declares.</summary>
internal sealed record DeclaredTopic(string Name, int? Partitions, IReadOnlyDictionary<string, string>? Configs, short? ReplicationFactor);
