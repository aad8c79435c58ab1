using System.Buffers.Binary;
using System.Diagnostics;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>The messages of a channel that are published and not confirmed. Their delivery tags count from 1; a broker may confirm them in
/// any order.</summary>
/// <param name="window">The most at once.</param>
internal sealed class ConfirmWindow(int window)
{
    // A message that is not confirmed holds the places of later ones that are.
    private const int PlacesEach = 16;

    // When a tag was published, at its remainder; 0: it is confirmed.
    private readonly long[] _published = new long[PlacesEach * window];
    private long _next = 1;
    private long _lowest = 1; // of the unconfirmed; the next one if there is none
    private int _unconfirmed;

    /// <summary>How many may be published now.</summary>
    public int Free => (int)Math.Min(window - _unconfirmed, _published.Length - (_next - _lowest));

    /// <summary>Takes the next tags.</summary>
    /// <param name="count">At most as many as are free.</param>
    /// <param name="now">A <see cref="Stopwatch"/> timestamp.</param>
    public void Publish(int count, long now)
    {
        _unconfirmed += count;
        for (; count > 0; count--)
            _published[_next++ % _published.Length] = now;
    }

    /// <summary>Reads a confirm.</summary>
    /// <param name="frame">What the broker sent.</param>
    /// <param name="now">When, as a <see cref="Stopwatch"/> timestamp.</param>
    /// <param name="latencies">Gets the time since each was published; null: it is not measured.</param>
    /// <returns>The number of messages that it confirms.</returns>
    /// <exception cref="PeerFailedException">It is no confirm, or of what was not published or is already confirmed.</exception>
    public int Confirm(AmqpFrame frame, long now, LatencyHistogram? latencies)
    {
        if (frame.Method != AmqpFrame.Ack)
            throw new PeerFailedException($"The broker {(frame.Method == AmqpFrame.Nack ? "refused a message" : "confirmed nothing")}: "
                + frame.Describe());
        var tag = BinaryPrimitives.ReadInt64BigEndian(frame.Payload[4..]);
        var isMultiple = (frame.Payload[12] & 1) != 0;
        // Tag 0 stands for all.
        var last = tag == 0 && isMultiple ? _next - 1 : tag;
        if (last < _lowest || last >= _next || (!isMultiple && _published[last % _published.Length] == 0))
            throw new PeerFailedException($"The broker confirmed message {tag}, but {_lowest} to {_next - 1} are unconfirmed.");
        var confirmed = 0;
        for (var at = isMultiple ? _lowest : last; at <= last; at++)
        {
            ref var published = ref _published[at % _published.Length];
            if (published == 0)
                continue;
            latencies?.Record(Stopwatch.GetElapsedTime(published, now));
            published = 0;
            confirmed++;
        }
        _unconfirmed -= confirmed;
        while (_lowest < _next && _published[_lowest % _published.Length] == 0)
            _lowest++;
        return confirmed;
    }
}
