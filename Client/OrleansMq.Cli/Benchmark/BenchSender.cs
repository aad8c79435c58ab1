using System.Buffers.Binary;
using System.Diagnostics;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Client;

namespace OrleansMq.Cli.Benchmark;

/// <summary>Sends the records of a benchmark, each with its send time in the first 8 bytes.</summary>
internal sealed class BenchSender(HttpBroker broker, string topic, BenchSettings settings)
{
    // How often a paced sender checks the clock. Bursts of one millisecond do not affect the measurement.
    private static readonly TimeSpan PaceInterval = TimeSpan.FromMilliseconds(1);

    private readonly LatencyHistogram _latencies = new();
    private ProduceException? _failure;

    /// <summary>Sends all records and waits for their acknowledgements.</summary>
    public async Task<BenchPhase> RunAsync(CancellationToken cancellationToken)
    {
        var options = new ProducerOptions
        {
            Acks = RecordOptions.ParseAcks(settings.Acks),
            Compression = RecordOptions.ParseCompression(settings.Compression),
            BatchSize = settings.BatchSize,
        };
        await using var producer = new Producer<Ignore, ReadOnlyMemory<byte>>(broker, options: options);
        var start = Stopwatch.GetTimestamp();
        await Task.Run(() => SendAsync(producer, cancellationToken), cancellationToken).ConfigureAwait(false);
        await producer.FlushAsync(cancellationToken).ConfigureAwait(false);
        var time = Stopwatch.GetElapsedTime(start);
        return _failure is null
            ? BenchPhase.Of("produce", settings.Records, settings.TotalBytes, time, "send to acknowledgement", _latencies)
            : throw CommandFailedException.Refused($"A record was not acknowledged: {_failure.Message}", _failure);
    }

    private async Task SendAsync(Producer<Ignore, ReadOnlyMemory<byte>> producer, CancellationToken cancellationToken)
    {
        var values = new BenchValues(settings.RecordSize);
        var start = Stopwatch.GetTimestamp();
        for (var i = 0L; i < settings.Records && Volatile.Read(ref _failure) is null; i++)
        {
            while (settings.Rate > 0 && i >= Stopwatch.GetElapsedTime(start).TotalSeconds * settings.Rate)
                await Task.Delay(PaceInterval, cancellationToken).ConfigureAwait(false);
            var sent = Stopwatch.GetTimestamp();
            producer.Send(new ProducerRecord<Ignore, ReadOnlyMemory<byte>>(topic, default, values.Next(sent)),
                report => OnDelivered(report, sent), cancellationToken);
        }
    }

    private void OnDelivered(DeliveryReport report, long sent)
    {
        if (report.Error is null)
            _latencies.RecordSince(sent);
        else
            Interlocked.CompareExchange(ref _failure, report.Error, null);
    }
}

/// <summary>Distinct values of a fixed size: the send time, followed by seeded random text, which compresses as little as base64
/// does.</summary>
internal sealed class BenchValues
{
    private readonly byte[] _text;
    private readonly byte[] _value;
    private int _at;

    /// <summary>Creates values of <paramref name="size"/> bytes, 8 or more.</summary>
    public BenchValues(int size)
    {
        _value = new byte[size];
        var random = new byte[Math.Max(48 << 10, size)];
        new Random(1).NextBytes(random);
        _text = System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(random));
    }

    /// <summary>Returns the next value, valid until the next call.</summary>
    public ReadOnlyMemory<byte> Next(long timestamp)
    {
        BinaryPrimitives.WriteInt64BigEndian(_value, timestamp);
        var rest = _value.AsSpan(sizeof(long));
        if (_at + rest.Length > _text.Length)
            _at = 0;
        _text.AsSpan(_at, rest.Length).CopyTo(rest);
        _at += rest.Length;
        return _value;
    }

    /// <summary>Returns the send time of a value.</summary>
    public static long TimestampOf(ReadOnlyMemory<byte> value) => BinaryPrimitives.ReadInt64BigEndian(value.Span);
}
