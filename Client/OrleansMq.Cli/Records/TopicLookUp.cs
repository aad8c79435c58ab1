using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary>The first request of a reader. A broker that was reachable and is not, or is not ready yet, is retried. An address at which
/// nothing ever accepted a connection fails at once.</summary>
internal static class TopicLookUp
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Looks up a topic.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">The topic's name.</param>
    /// <param name="retryTimeout">How long to retry while it may still succeed.</param>
    /// <param name="cancellationToken">Cancels the lookup.</param>
    /// <exception cref="BrokerException">The topic does not exist, or no broker answers.</exception>
    public static async Task<TopicListing> FindAsync(HttpBroker broker, string topic, TimeSpan retryTimeout,
        CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException e)
                when (e.Action == ErrorAction.Retry && broker.HasConnected && Stopwatch.GetElapsedTime(started) < retryTimeout)
            {
                await Task.Delay(Pause, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}
