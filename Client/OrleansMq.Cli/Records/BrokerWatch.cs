using System.Diagnostics;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary>Tells on standard error, once, that no broker answers while a reader waits for records, and that one answers again.</summary>
internal sealed class BrokerWatch(HttpBroker broker, string topic)
{
    /// <summary>How long a reader waits before it looks, and between two looks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(3);

    private long _last = Stopwatch.GetTimestamp();
    private bool _isGone;

    /// <summary>Looks whether a broker answers, unless it has looked within <see cref="Interval"/>.</summary>
    public async Task LookAsync(CancellationToken cancellationToken)
    {
        if (Stopwatch.GetElapsedTime(_last) < Interval)
            return;
        try
        {
            await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            if (_isGone)
                Console.Error.WriteLine("omq: a broker answers again.");
            _isGone = false;
        }
        catch (BrokerUnreachableException e)
        {
            if (!_isGone)
                Console.Error.WriteLine($"omq: waiting: {e.Message}");
            _isGone = true;
        }
        catch (BrokerException)
        {
            // A broker answers; the reader reports what is wrong with the topic.
        }
        _last = Stopwatch.GetTimestamp();
    }
}
