using System.Diagnostics;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary>
/// One run of <c>omq queue consume</c>. Only records written to standard output are completed: whatever happens to this process, the others
/// are delivered again.
/// </summary>
internal sealed class QueueConsumeRun(HttpBroker broker, string topic, string queue, IRecordOutput output)
{
    /// <summary>How long an unreachable broker is retried: long enough for a restart.</summary>
    private static readonly TimeSpan RetryTimeout = TimeSpan.FromSeconds(60);

    // Also at Ctrl-C, after which the program is terminated within 60 s.
    private static readonly TimeSpan CompletionTimeout = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan LeastStep = TimeSpan.FromMilliseconds(50);

    // Records are printed and completed together, up to this many.
    private const int MostAtOnce = 100;

    private readonly BrokerWatch _watch = new(broker, topic);
    private readonly List<QueueMessage<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>> _written = []; // perhaps still in memory
    private bool _isAttached;

    /// <summary>The number of records after which to end.</summary>
    public long MaxRecords { get; init; } = long.MaxValue;

    /// <summary>How long to wait for more records; null for no limit.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Writes records until one of the limits is reached, or until cancelled, which is not a failure.</summary>
    /// <exception cref="CommandFailedException">There is no such queue.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            await FindAsync(cancellationToken).ConfigureAwait(false);
            await using var consumer = new OrleansMqClient(broker).CreateQueueConsumer(new QueueConsumerOptions
            {
                Topic = topic,
                Queue = queue,
                Create = null,
                Credit = (int)Math.Min(MaxRecords, MostAtOnce),
            }, OptionalBytes.Instance, OptionalBytes.Instance);
            try
            {
                await CopyAsync(consumer, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                await CompleteAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Ctrl-C: what was printed is completed.
        }
    }

    private async Task FindAsync(CancellationToken cancellationToken)
    {
        await TopicLookUp.FindAsync(broker, topic, RetryTimeout, cancellationToken).ConfigureAwait(false);
        var queues = await broker.ListQueuesAsync(topic, cancellationToken).ConfigureAwait(false);
        if (!queues.Any(each => each.Name == queue))
            throw CommandFailedException.Refused($"Topic '{topic}' has no queue '{queue}'. Create it: omq queue create {topic} {queue}");
    }

    private async Task CopyAsync(IQueueConsumer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> consumer, CancellationToken cancellationToken)
    {
        for (var records = 0L; records < MaxRecords; records++)
        {
            var message = _written.Count < MostAtOnce ? await consumer.ReceiveAsync(TimeSpan.Zero, cancellationToken).ConfigureAwait(false)
                : null;
            if (message is null)
            {
                // Nothing more at hand: what was written is printed before the wait.
                await CompleteAsync().ConfigureAwait(false);
                message = await WaitAsync(consumer, cancellationToken).ConfigureAwait(false);
            }
            if (message is null)
                return;
            output.Write(new(message.TopicPartition, message.Offset, message.Time.ToUnixTimeMilliseconds(), message.Key, message.Value,
                message.Headers, -1));
            _written.Add(message);
        }
    }

    /// <summary>Receives the next record; returns null if the idle timeout passed.</summary>
    private async Task<QueueMessage<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?>?> WaitAsync(
        IQueueConsumer<ReadOnlyMemory<byte>?, ReadOnlyMemory<byte>?> consumer, CancellationToken cancellationToken)
    {
        var waiting = Stopwatch.GetTimestamp();
        while (true)
        {
            var left = IdleTimeout is { } idle ? idle - Stopwatch.GetElapsedTime(waiting) : BrokerWatch.Interval;
            if (left <= TimeSpan.Zero)
            {
                if (_isAttached)
                    return null;
                // The wait begins when it is attached everywhere.
                _isAttached = await IsAttachedAsync(cancellationToken).ConfigureAwait(false);
                waiting = Stopwatch.GetTimestamp();
                left = LeastStep;
            }
            var step = left < BrokerWatch.Interval ? left : BrokerWatch.Interval;
            if (await consumer.ReceiveAsync(step, cancellationToken).ConfigureAwait(false) is { } message)
                return message;
            await _watch.LookAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether each partition's queue has a consumer. A slow first answer alone does not mean that nothing is there.</summary>
    private async Task<bool> IsAttachedAsync(CancellationToken cancellationToken)
    {
        try
        {
            var queues = await broker.ListQueuesAsync(topic, cancellationToken).ConfigureAwait(false);
            return queues.All(each => each.Name != queue || each.Consumers > 0);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            return false;
        }
    }

    /// <summary>Flushes to standard output, and completes what was written.</summary>
    private async Task CompleteAsync()
    {
        if (_written.Count == 0)
            return;
        output.Flush();
        using var deadline = new CancellationTokenSource(CompletionTimeout);
        var completing = _written.Select(message => message.CompleteAsync(deadline.Token)).ToList();
        _written.Clear();
        try
        {
            await Task.WhenAll(completing).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OrleansMqException or OperationCanceledException)
        {
            Console.Error.WriteLine($"omq: {completing.Count(static task => !task.IsCompletedSuccessfully)} records that were printed may "
                + $"be delivered again: {e.Message}");
        }
    }
}
