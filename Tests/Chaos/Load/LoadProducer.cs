using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>Sends numbered records at a steady rate to all partitions in turn, idempotent and with acks=all, and records each outcome in
/// the ledger. After a fatal producer error it starts again as a new producer.</summary>
internal sealed class LoadProducer(IBroker broker, LoadOptions options, Ledger ledger, IReadOnlyList<PartitionHistory> histories)
{
    // Short enough for a steady rate of some hundreds a second, without a busy loop.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(20);

    private volatile bool _mustBeginAnew;
    private long _failed;

    /// <summary>Records reported as failed, whether certainly or possibly not written.</summary>
    public long Failed => Volatile.Read(ref _failed);

    /// <summary>The first of those reports, with its time.</summary>
    public string? FirstFailure { get; private set; }

    /// <summary>Sends until it is stopped, then waits for records in flight.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            _mustBeginAnew = false;
            await RunOneAsync(ledger.NewProducer(isOrdered: true), stop);
        }
    }

    private async Task RunOneAsync(int number, CancellationToken stop)
    {
        var how = new ProducerOptions { DeliveryTimeout = options.DeliveryTimeout, RetryBackoff = TimeSpan.FromMilliseconds(20),
            RetryBackoffMax = TimeSpan.FromMilliseconds(250) };
        await using var producer = new OrleansMqClient(broker).CreateProducer<string?, byte[]>(how);
        using var ticks = new PeriodicTimer(Tick);
        var (sent, ticked) = (0L, 0L);
        try
        {
            while (!_mustBeginAnew && await ticks.WaitForNextTickAsync(stop))
            {
                ticked++;
                for (var due = (long)(ticked * Tick.TotalSeconds * options.RecordsPerSecond); sent < due; sent++)
                    await SendAsync(producer, number, (int)((number + sent) % options.Partitions), stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Dispose waits for records in flight.
        }
    }

    private async Task SendAsync(IProducer<string?, byte[]> producer, int number, int partition, CancellationToken stop)
    {
        var id = ledger.Send(partition, number);
        try
        {
            var record = new ProducerRecord<string?, byte[]>(options.Topic, options.KeyOf(id),
                RecordValue.Of(id, options.ValueBytes)) { Partition = partition, Headers = HeadersOf(id) };
            await producer.EnqueueAsync(record, report => Hear(partition, id, report), stop);
        }
        catch (OperationCanceledException)
        {
            ledger.Refuse(partition, id);
            throw;
        }
        catch (ProduceException e)
        {
            Fail(partition, id, e);
        }
    }

    private RecordHeader[] HeadersOf(RecordId id) => options.IsDeferred(id)
        ? [RecordHeaders.Text(QueueHeaders.DeliverAt, string.Create(CultureInfo.InvariantCulture,
            $"{(DateTimeOffset.UtcNow + (options.MaxDelay * Random.Shared.NextDouble())).ToUnixTimeMilliseconds()}"))]
        : [];

    private void Hear(int partition, RecordId id, DeliveryReport report)
    {
        if (report.Error is { } error)
        {
            Fail(partition, id, error);
            return;
        }
        ledger.Acknowledge(partition, id, report.Offset);
        if (report.Offset >= 0)
            histories[partition].Saw(report.Offset, id, "its sender");
    }

    private void Fail(int partition, RecordId id, ProduceException error)
    {
        Interlocked.Increment(ref _failed);
        FirstFailure ??= $"{id} for partition {partition}: {error.Code}: {error.Message} ({DateTime.UtcNow:HH:mm:ss.fff})";
        if (!error.MayBeWritten)
            ledger.Refuse(partition, id);
        if (error.Action == ErrorAction.GiveUp)
            _mustBeginAnew = true;
    }
}
