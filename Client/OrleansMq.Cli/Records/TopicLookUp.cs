using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.Records;

/// <summary>The first thing a reader asks of a broker. A broker that was there and is not, or not yet, is waited for, as it is once records
/// are read; an address where nobody listens is told at once.</summary>
internal static class TopicLookUp
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Looks a topic up.</summary>
    /// <param name="broker">Where.</param>
    /// <param name="topic">The topic's name.</param>
    /// <param name="retryTimeout">How long to go on where it may still succeed.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="BrokerException">There is no such topic; or nobody answers.</exception>
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
