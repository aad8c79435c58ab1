using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <content>Reports to recipients, and counters.</content>
internal sealed partial class ProducerCore
{
    private readonly BatchPool _batches;
    private readonly bool _ownsBatches;
    private long _delivered;
    private long _failed;
    private long _sent;
    private long _retries;

    public event Action<ProduceException>? DeliveryFailed;

    public ProducerStatistics Statistics => new(Volatile.Read(ref _delivered), Volatile.Read(ref _failed), Volatile.Read(ref _sent),
        Volatile.Read(ref _retries), _buffer.Used);

    public ProduceBatch RentBatch() => _batches.Rent();

    public void CountSent(ProduceBatch batch)
    {
        Interlocked.Increment(ref _sent);
        if (batch.Attempts > 1)
            Interlocked.Increment(ref _retries);
    }

    /// <summary>Notifies the recipients of a batch, releases its room, and returns the batch to the pool if the broker is done with
    /// it.</summary>
    public void Report(TopicPartition topicPartition, Resolution resolution)
    {
        var batch = resolution.Batch;
        // Room is released first, since a callback may send.
        if (resolution.Release)
            _buffer.Release(batch.Bytes);
        if (resolution.Report)
        {
            if (batch.Result.Error == ErrorCode.None)
                ReportDelivered(topicPartition, batch);
            else
                ReportFailed(topicPartition, batch);
            batch.CountOff();
        }
        if (resolution.Release)
            _batches.Return(batch);
    }

    /// <summary>Fails a record that had found room but is not in a batch yet.</summary>
    public void Fail(PendingRecord record, ProduceException error)
    {
        _buffer.Release(record.Room);
        FailWithoutRoom(record, error);
    }

    /// <summary>Like <see cref="Fail"/>, but on another thread, since this one holds locks.</summary>
    public void FailLater(PendingRecord record, ProduceException error) =>
        ThreadPool.UnsafeQueueUserWorkItem(static state => state.Producer.Fail(state.Record, state.Error),
            (Producer: this, Record: record, Error: error), preferLocal: false);

    private void FailWithoutRoom(PendingRecord record, ProduceException error)
    {
        var records = 1 + record.Others.Count;
        Interlocked.Add(ref _failed, records);
        Target.OnFailed(error);
        Measure(error.TopicPartition, records, record.SentAt, error.Code);
        // A sender that still waits for room receives the exception there; the callback is not called.
        if (!record.TrySetFailed(error))
        {
            if (record.Recipient.Target is { } target)
                Tell(target, new DeliveryReport(error.TopicPartition, -1, record.Data.Timestamp, error));
            else
                RaiseDeliveryFailed(error);
        }
        record.Generation.Done();
    }

    private void ReportDelivered(TopicPartition topicPartition, ProduceBatch batch)
    {
        Interlocked.Add(ref _delivered, batch.RecordCount);
        Measure(topicPartition, batch.RecordCount, batch.SentAt, null);
        var baseOffset = batch.Result.BaseOffset;
        var appendTime = batch.Result.LogAppendTime;
        foreach (ref readonly var entry in batch.Entries)
        {
            Tell(entry.Target, new DeliveryReport(topicPartition, baseOffset < 0 ? -1 : baseOffset + entry.Index,
                appendTime >= 0 ? appendTime : entry.Timestamp), isAppendTime: appendTime >= 0);
        }
    }

    private void ReportFailed(TopicPartition topicPartition, ProduceBatch batch)
    {
        Interlocked.Add(ref _failed, batch.RecordCount);
        var code = batch.Result.Error;
        Measure(topicPartition, batch.RecordCount, batch.SentAt, code);
        LogBatchFailed(topicPartition, batch.RecordCount, code, batch.MayBeWritten, batch.Result.Message);
        var message = $"{topicPartition}: {batch.Result.Message ?? code.ToString()}"
            + (batch.MayBeWritten ? " Whether the record is in the log is not known." : " The record is not in the log.");
        // While the broker has the batch, its bytes must not be read, so its keys stay unknown.
        var keys = batch.IsInFlight ? new ReadOnlyMemory<byte>?[batch.RecordCount] : batch.ReadKeys(Options.Codecs);
        var entries = batch.Entries;
        for (var i = 0; i < keys.Length; i++)
        {
            var error = new ProduceException(code, message, topicPartition, keys[i], batch.MayBeWritten);
            Target.OnFailed(error);
            if (!entries.IsEmpty && entries[0].Index == i)
            {
                Tell(entries[0].Target, new DeliveryReport(topicPartition, -1, entries[0].Timestamp, error));
                entries = entries[1..];
            }
            else if (!batch.IsWhole)
            {
                RaiseDeliveryFailed(error);
            }
        }
    }

    private void Measure(TopicPartition partition, int records, long sentAt, ErrorCode? failure)
    {
        if (!OrleansMqDiagnostics.Sent.Enabled && !OrleansMqDiagnostics.SendDuration.Enabled)
            return;
        try
        {
            var tags = OrleansMqDiagnostics.TagsOf(partition, "send", error: failure?.ToString());
            OrleansMqDiagnostics.Sent.Add(records, tags);
            OrleansMqDiagnostics.SendDuration.Record(Clock.Since(sentAt).TotalSeconds, tags);
        }
        catch (Exception e)
        {
            // A listener is code of the application that runs in this loop, whose exception would end the process.
            OrleansMqDiagnostics.LogListenerFailed(_logger, e, partition);
        }
    }

    private void Tell(object target, in DeliveryReport report, bool isAppendTime = false)
    {
        if (target is Delivery delivery)
        {
            delivery.Complete(report, isAppendTime);
            return;
        }
        try
        {
            ((Action<DeliveryReport>)target)(report);
        }
        catch (Exception e)
        {
            // A callback is user code that runs in this loop: its exception must not affect the following records.
            LogCallbackFailed(e, report.TopicPartition);
        }
    }

    private void RaiseDeliveryFailed(ProduceException error)
    {
        try
        {
            DeliveryFailed?.Invoke(error);
        }
        catch (Exception e)
        {
            LogCallbackFailed(e, error.TopicPartition);
        }
    }

    [LoggerMessage(1, LogLevel.Warning, "{RecordCount} records for {TopicPartition} were not delivered: {Code} (may be written: "
        + "{MayBeWritten}). {Reason}")]
    private partial void LogBatchFailed(TopicPartition topicPartition, int recordCount, ErrorCode code, bool mayBeWritten, string? reason);

    [LoggerMessage(2, LogLevel.Error, "A delivery callback for {TopicPartition} threw.")]
    private partial void LogCallbackFailed(Exception exception, TopicPartition topicPartition);
}
