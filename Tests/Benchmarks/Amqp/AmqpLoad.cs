using System.Diagnostics;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>The parameters of a load over AMQP 0-9-1, on one queue that exists.</summary>
internal sealed record AmqpLoadOptions
{
    public const string Usage = """
        load amqp --bootstrap HOST:PORT --queue NAME [...]    publishes to a durable quorum queue with confirms, for a time
          --publishers 1            connections that publish; --unconfirmed 1 messages of each at once
          --consumers 0             connections that consume, and acknowledge each message; received messages are counted then
          --message-bytes 1000      the size of a message, at most 4,000
          --seconds 12              the counted time; --warm-seconds 3 before it
          --pid PID,...             the broker's processes, for their processor time
        """;

    /// <summary>HOST:PORT.</summary>
    public required string Endpoint { get; init; }
    public required string Queue { get; init; }

    /// <summary>The connections that publish, with one channel each.</summary>
    public int Publishers { get; init; } = 1;

    /// <summary>The unconfirmed messages of each.</summary>
    public int Window { get; init; } = 1;

    /// <summary>The connections that consume, and acknowledge each message. With some, received messages are counted.</summary>
    public int Consumers { get; init; }

    /// <summary>The size of a message's body; at least 1, at most <see cref="AmqpLoad.MostMessageBytes"/>.</summary>
    public int MessageBytes { get; init; } = 1000;

    /// <summary>The time before the counted one.</summary>
    public TimeSpan WarmUp { get; init; }

    /// <summary>The counted time.</summary>
    public TimeSpan Counted { get; init; }

    /// <summary>The broker's processes, for their processor time.</summary>
    public IReadOnlyList<int> BrokerProcesses { get; init; } = [];

    /// <summary>Reads the options of <c>load amqp</c>.</summary>
    /// <exception cref="FormatException">One is missing, unknown, or no number.</exception>
    public static AmqpLoadOptions Parse(CommandArguments arguments)
    {
        arguments.RefuseOthersThan(Usage);
        return new AmqpLoadOptions
        {
            Endpoint = arguments.Required("--bootstrap"),
            Queue = arguments.Required("--queue"),
            Publishers = arguments.Number("--publishers", 1),
            Window = Math.Max(1, arguments.Number("--unconfirmed", 1)),
            Consumers = arguments.Number("--consumers", 0),
            MessageBytes = Math.Clamp(arguments.Number("--message-bytes", 1000), 1, AmqpLoad.MostMessageBytes),
            WarmUp = TimeSpan.FromSeconds(arguments.Number("--warm-seconds", 3)),
            Counted = TimeSpan.FromSeconds(Math.Max(1, arguments.Number("--seconds", 12))),
            BrokerProcesses = LoadOptions.Processes(arguments),
        };
    }
}

/// <summary>Publishes persistent messages with confirms, and consumes them, over blocking sockets with a thread each. A publisher encodes
/// its messages once, and sends all that its window allows in one write; a consumer sends the acknowledgements of what one read brought in
/// one write.</summary>
internal sealed class AmqpLoad
{
    /// <summary>The most bytes of a message's body. A body is one frame, and every broker takes frames of 4,096 bytes, 8 of which are not
    /// the body's.</summary>
    public const int MostMessageBytes = 4000;

    private const ushort Prefetch = 500;

    private readonly AmqpLoadOptions _options;
    private readonly byte[] _messages; // a window of them
    private LatencyHistogram? _latencies; // null outside the counted time
    private long _count;
    private bool _hasEnded;

    private AmqpLoad(AmqpLoadOptions options)
    {
        _options = options;
        _messages = Encode(options.Queue, options.Window, options.MessageBytes);
    }

    /// <summary>Runs the load for its time.</summary>
    /// <returns>The messages of the counted time, and the latency of the confirms in it.</returns>
    /// <exception cref="PeerFailedException">The broker refused a message, closed a connection, or no message was counted.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">A connection broke.</exception>
    /// <exception cref="LoadFailedException">The broker's process has ended.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public static LoadResult Run(AmqpLoadOptions options, CancellationToken cancellationToken)
    {
        var load = new AmqpLoad(options);
        var clients = new List<AmqpClient>();
        try
        {
            var works = load.Open(clients);
            var result = load.Run(works, clients, cancellationToken);
            cancellationToken.ThrowIfCancellationRequested();
            return result.Records > 0 ? result
                : throw new PeerFailedException($"No message was {(options.Consumers > 0 ? "received" : "confirmed")} within "
                    + $"{options.Counted.TotalSeconds} s.");
        }
        catch (InvalidOperationException refused)
        {
            throw new PeerFailedException(refused.Message);
        }
        finally
        {
            clients.ForEach(static client => client.Dispose());
        }
    }

    /// <summary>Encodes persistent messages to the default exchange, all of the same length.</summary>
    /// <param name="queue">The queue, which is the routing key.</param>
    /// <param name="count">The number of messages.</param>
    /// <param name="messageBytes">The size of a message's body; at least 1, at most <see cref="MostMessageBytes"/>.</param>
    public static byte[] Encode(string queue, int count, int messageBytes)
    {
        var body = new byte[messageBytes];
        Samples.Fill(new Random(1), body);
        var writer = new AmqpFrameWriter();
        for (var message = 0; message < count; message++)
            writer.AddPublish("", queue, body, isPersistent: true);
        return writer.Bytes.ToArray();
    }

    // Consumers first: they have their queue before it fills.
    private List<Action> Open(List<AmqpClient> clients)
    {
        var works = new List<Action>();
        for (var consumer = 0; consumer < _options.Consumers; consumer++)
        {
            var client = AmqpClient.Connect(_options.Endpoint);
            clients.Add(client);
            client.Consume(_options.Queue, Prefetch);
            works.Add(() => Consume(client));
        }
        for (var publisher = 0; publisher < _options.Publishers; publisher++)
        {
            var client = AmqpClient.Connect(_options.Endpoint);
            clients.Add(client);
            client.Confirm();
            works.Add(() => Publish(client));
        }
        return works;
    }

    private LoadResult Run(List<Action> works, List<AmqpClient> clients, CancellationToken cancellationToken)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var threads = new List<LoadThread>();
        LoadResult result;
        try
        {
            foreach (var work in works)
                threads.Add(LoadThreads.Start(() => UntilEnd(work, over)));
            over.Token.WaitHandle.WaitOne(_options.WarmUp);
            result = Measure(over.Token);
        }
        finally
        {
            Volatile.Write(ref _hasEnded, true);
            clients.ForEach(static client => client.Shutdown());
        }
        foreach (var thread in threads)
            thread.Join();
        return result;
    }

    // The end of the run breaks what a thread waits for; a failure before ends the run.
    private void UntilEnd(Action work, CancellationTokenSource over)
    {
        try
        {
            work();
        }
        catch when (Volatile.Read(ref _hasEnded))
        {
            // Its connection was shut down.
        }
        catch
        {
            over.Cancel();
            throw;
        }
    }

    private LoadResult Measure(CancellationToken over)
    {
        var latencies = new LatencyHistogram();
        var meter = new LoadMeter(_options.BrokerProcesses);
        var before = Interlocked.Read(ref _count);
        Volatile.Write(ref _latencies, latencies);
        over.WaitHandle.WaitOne(_options.Counted);
        Volatile.Write(ref _latencies, null);
        var count = Interlocked.Read(ref _count) - before;
        var (seconds, generator, broker) = meter.Read();
        return new LoadResult(count, count * _options.MessageBytes, seconds, count, latencies.Summarize(), generator, broker);
    }

    private void Publish(AmqpClient client)
    {
        var window = new ConfirmWindow(_options.Window);
        var bytes = _messages.Length / _options.Window;
        while (true)
        {
            var count = window.Free;
            window.Publish(count, Stopwatch.GetTimestamp());
            client.Send(_messages.AsSpan(0, count * bytes));
            var frame = client.ReadFrame();
            var now = Stopwatch.GetTimestamp();
            var latencies = Volatile.Read(ref _latencies);
            var confirmed = 0;
            do
                confirmed += window.Confirm(frame, now, latencies);
            while (client.TryReadFrame(out frame));
            if (_options.Consumers == 0)
                Interlocked.Add(ref _count, confirmed);
        }
    }

    private void Consume(AmqpClient client)
    {
        var deliveries = new DeliveryReader();
        while (true)
            Interlocked.Add(ref _count, client.Acknowledge(deliveries));
    }
}
