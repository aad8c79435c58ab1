using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// Passes the records of a consumer to a handler, in parallel as <see cref="MessageHandlingOptions.Parallelism"/> allows. Failed records
/// are retried; permanently failed ones are treated as <see cref="MessageHandlingOptions.OnFailure"/> specifies. Only the lowest offset
/// that is not done is committed, so a crash loses nothing.
/// <para>A partition that moves to another consumer is drained first, and so are all partitions on stop. Running calls complete within
/// <see cref="ConsumerOptions.DrainTimeout"/>; waiting records are dropped, and the next owner reads them.</para>
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public sealed partial class MessageProcessor<TKey, TValue> : IAsyncDisposable
{
    private readonly ConsumerCore _core;
    private readonly MessageHandlingOptions _options;
    private readonly ConsumerOptions _consumer;
    private readonly Func<MessageContext<TKey, TValue>, CancellationToken, ValueTask> _handle;
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private readonly ReaderOptions _reader;
    private readonly ILogger _logger;
    // Without OnFailure = DeadLetter only a handler that gives records up needs it.
    private readonly Lazy<DeadLetters> _deadLetters;
    private readonly FailureLog _failures;
    private readonly string _group;
    // An entry may outlive its assignment, and then counts no more.
    private readonly ConcurrentDictionary<TopicPartition, StoppedPartition> _stopped = new();
    private readonly int _maxRunning;
    private Task _loop = Task.CompletedTask;
    private long _handled;
    private long _retries;
    private long _deadLettered;
    private long _skipped;

    internal MessageProcessor(IBroker broker, ConsumerOptions consumer, MessageHandlingOptions options,
        Func<MessageContext<TKey, TValue>, CancellationToken, ValueTask> handle,
        IDeserializer<TKey>? keys, IDeserializer<TValue>? values, ILogger? logger)
    {
        options.Validate();
        _options = options;
        _consumer = consumer;
        _handle = handle;
        _keys = keys ?? Serdes.For<TKey>();
        _values = values ?? Serdes.For<TValue>();
        _reader = consumer.Reader ?? new ReaderOptions();
        _logger = logger ?? NullLogger.Instance;
        _maxRunning = options.Parallelism == HandlingParallelism.Partition ? 1 : options.MaxInFlightPerPartition;
        _group = consumer.GroupId ?? "(none)";
        _failures = new FailureLog(consumer.GroupId, _reader.TimeProvider, _logger);
        _core = new ConsumerCore(broker, consumer, _reader, _logger);
        _deadLetters = new Lazy<DeadLetters>(() => new DeadLetters(broker, options.DeadLetterTopic,
            options.DeadLetterProducer ?? new ProducerOptions(), consumer.GroupId, _logger));
    }

    /// <summary>The underlying consumer, for its assignment, pause and resume. The processor itself seeks and commits.</summary>
    public IConsumer Consumer => _core;

    /// <summary>Assigned partitions that have stopped before a record, with the reason.</summary>
    public IReadOnlyDictionary<TopicPartition, Exception> Stopped =>
        _stopped.Where(static item => !item.Value.Claim.IsGone).ToDictionary(static item => item.Key, static item => item.Value.Reason);

    /// <summary>Counters since the processor was created.</summary>
    public MessageProcessorStatistics Statistics =>
        new(Interlocked.Read(ref _handled), Interlocked.Read(ref _retries), Interlocked.Read(ref _deadLettered),
            Interlocked.Read(ref _skipped));

    /// <summary>Completes when the processor has stopped. Fails if the consumer cannot be a member of its group (any more).</summary>
    public Task Completion => _loop;

    /// <summary>Subscribes and starts. May be called once.</summary>
    public void Start()
    {
        if (_options.TopicPattern is { } pattern)
            _core.SubscribePattern(pattern);
        else
            _core.Subscribe(_options.Topics);
        _loop = Task.Run(DispatchAsync);
    }

    /// <summary>Resumes a stopped partition, with the record that stopped it.</summary>
    /// <exception cref="InvalidOperationException">The partition is not (or no longer) assigned to this consumer.</exception>
    public void Resume(TopicPartition partition)
    {
        if (_stopped.TryRemove(partition, out _))
            _core.Restart(partition);
    }

    /// <summary>Drains, commits and leaves the group.</summary>
    /// <param name="cancellationToken">Ends the wait for running calls. Their records are read again by the next owners of the
    /// partitions.</param>
    public async Task StopAsync(CancellationToken cancellationToken = default)
    {
        await _core.CloseAsync(cancellationToken).ConfigureAwait(false);
        await _loop.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_deadLetters.IsValueCreated)
            await _deadLetters.Value.DisposeAsync().ConfigureAwait(false);
        _failures.Dispose();
    }

    /// <summary>Stops the processor like <see cref="StopAsync"/>.</summary>
    public ValueTask DisposeAsync() => new(StopAsync());

    private async Task DispatchAsync()
    {
        try
        {
            while (!_core.IsClosing)
            {
                try
                {
                    while (TryDispatch())
                    {
                    }
                    await _core.Buffer.WaitAsync(CancellationToken.None).ConfigureAwait(false);
                }
                catch (ConsumeException e)
                {
                    StopPartition(e.Partition, e);
                }
            }
        }
        catch (ObjectDisposedException) when (_core.IsClosing)
        {
            // Stopped.
        }
    }

    private bool TryDispatch()
    {
        PartitionWork<TKey, TValue> work;
        HandledRecord<TKey, TValue> record;
        lock (_core.Buffer.Stepping)
        {
            if (_core.IsClosing || !_core.TryMoveNext(out var chunk))
                return false;
            if (!_core.TryHandOut(chunk))
                return true; // Revoked in the meantime.
            record = HandledRecord<TKey, TValue>.Take(chunk, _options.Parallelism, _keys, _values);
            work = WorkOf(chunk.Session);
            chunk.Accept();
        }
        work.Add(record);
        return true;
    }

    private PartitionWork<TKey, TValue> WorkOf(FetchSession session)
    {
        var claim = (AssignedPartition)session.Owner!;
        if (claim.Work is PartitionWork<TKey, TValue> work && work.Session == session)
            return work;
        _stopped.TryRemove(claim.Partition, out _);
        work = new PartitionWork<TKey, TValue>(claim, session, _maxRunning, HandleAsync, _core.Buffer.Wake);
        claim.Work = work;
        return work;
    }

    /// <summary>Handles a record, with retries. Returns whether it is done.</summary>
    private async Task<bool> HandleAsync(PartitionWork<TKey, TValue> work, HandledRecord<TKey, TValue> record)
    {
        var claim = work.Claim;
        var failure = record.Failure;
        Exception? unwritten = null;
        var attempts = 0;
        while (failure is null || attempts > 0)
        {
            var message = ContextOf(record, ++attempts, claim);
            try
            {
                await AttemptAsync(message, claim.Gone).ConfigureAwait(false);
                Interlocked.Increment(ref _handled);
                return true;
            }
            catch (Exception) when (message.DeadLetterReason is not null)
            {
                // The handler gave the record up before it threw.
                Interlocked.Increment(ref _handled);
                return true;
            }
            catch (Exception) when (claim.IsGone)
            {
                return false;
            }
            catch (RecordAlreadyDoneException)
            {
                // An earlier attempt has succeeded although it seemed to fail.
                Interlocked.Increment(ref _handled);
                return true;
            }
            catch (CommitFencedException e)
            {
                // The record itself is not at fault; the next owner of the partition handles it.
                Stop(work, e);
                return false;
            }
            catch (Exception e)
            {
                failure = e;
                unwritten = message.DeadLetterFailure ?? unwritten;
            }
            TimeSpan? next;
            try
            {
                var cause = failure is HandlerCreationException ? failure.InnerException! : failure;
                next = _options.Retry.After(attempts, cause, _reader.Random.NextDouble());
            }
            catch (Exception e)
            {
                // Without the application's answer the record is neither retried nor set aside.
                Stop(work, new AggregateException($"RetryPolicy.IsTransient has failed: {e.Message}", e, failure));
                return false;
            }
            if (next is not { } wait)
                break;
            Interlocked.Increment(ref _retries);
            _failures.Report(LogLevel.Warning, record.Record.TopicPartition, record.Record.Offset, failure, attempts, "it is tried again");
            if (!await WaitAsync(wait, claim).ConfigureAwait(false))
                return false;
        }
        return await SetAsideAsync(work, record, failure!, unwritten, attempts).ConfigureAwait(false);
    }

    /// <summary>Calls the handler once. A dead letter that it asked for is part of the attempt, also if the handler did not await
    /// it.</summary>
    private async ValueTask AttemptAsync(MessageContext<TKey, TValue> message, CancellationToken cancellationToken)
    {
        try
        {
            await HandleAsync(message, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await message.EndAsync().ConfigureAwait(false);
        }
        if (message.DeadLetterFailure is { } unwritten)
            ExceptionDispatchInfo.Throw(unwritten);
    }

    /// <summary>Calls the handler once, in a span that continues the sender's trace.</summary>
    private async ValueTask HandleAsync(MessageContext<TKey, TValue> message, CancellationToken cancellationToken)
    {
        // Whatever started this loop has nothing to do with the record.
        Activity.Current = null;
        var span = BeginSpan(message.Record);
        var since = Stopwatch.GetTimestamp();
        Exception? failure = null;
        try
        {
            await _handle(message, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
            throw;
        }
        finally
        {
            EndSpan(span, message.Record.TopicPartition, Stopwatch.GetElapsedTime(since), failure);
        }
    }

    // Listeners to spans and metrics are code of the application. What they throw is no failure of the handler, whose record would be
    // handled again, or become a dead letter.
    private Activity? BeginSpan(ConsumeResult<TKey, TValue> record)
    {
        try
        {
            return record.StartProcessing(_consumer.GroupId);
        }
        catch (Exception e)
        {
            OrleansMqDiagnostics.LogListenerFailed(_logger, e, record.TopicPartition);
            Activity.Current = null;
            return null;
        }
    }

    private void EndSpan(Activity? span, TopicPartition partition, TimeSpan duration, Exception? failure)
    {
        try
        {
            using (span)
            {
                if (failure is not null)
                    span?.SetFailed(failure);
                if (OrleansMqDiagnostics.ProcessDuration.Enabled)
                    OrleansMqDiagnostics.ProcessDuration.Record(duration.TotalSeconds,
                        OrleansMqDiagnostics.TagsOf(partition, "process", _consumer.GroupId, failure?.GetType().FullName));
            }
        }
        catch (Exception e)
        {
            OrleansMqDiagnostics.LogListenerFailed(_logger, e, partition);
        }
    }

    private MessageContext<TKey, TValue> ContextOf(HandledRecord<TKey, TValue> record, int attempt, AssignedPartition claim) =>
        new(record.Record, attempt, async reason =>
        {
            if (_options.DeadLetterProducer is { Acks: Acks.None })
                throw new InvalidOperationException("A dead letter waits for its acknowledgement: set "
                    + "MessageHandlingOptions.DeadLetterProducer with Acks.All, or Acks.Leader.");
            var topic = await _deadLetters.Value.WriteAsync(record, reason, attempt, claim.Gone).ConfigureAwait(false);
            _failures.Report(LogLevel.Warning, record.Record.TopicPartition, record.Record.Offset, reason, $"it is in {topic}");
            CountDeadLetter(record.Record.TopicPartition);
        });

    private void CountDeadLetter(TopicPartition partition)
    {
        Interlocked.Increment(ref _deadLettered);
        if (!OrleansMqDiagnostics.DeadLettered.Enabled)
            return;
        try
        {
            OrleansMqDiagnostics.DeadLettered.Add(1, OrleansMqDiagnostics.TagsOf(partition, "settle", _consumer.GroupId));
        }
        catch (Exception e)
        {
            OrleansMqDiagnostics.LogListenerFailed(_logger, e, partition);
        }
    }

    /// <summary>Waits before a retry. Returns false if the partition is being revoked; its next owner retries.</summary>
    private async Task<bool> WaitAsync(TimeSpan wait, AssignedPartition claim)
    {
        try
        {
            await Task.Delay(wait, _reader.TimeProvider, claim.Draining).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Treats a record that could not be handled as the options specify. Returns whether it is done.</summary>
    /// <param name="work">The partition.</param>
    /// <param name="record">The record.</param>
    /// <param name="failure">The failure of the last attempt.</param>
    /// <param name="unwritten">Why a dead letter that the handler asked for could not be written; null if it asked for none.</param>
    /// <param name="attempts">The number of attempts.</param>
    private async Task<bool> SetAsideAsync(PartitionWork<TKey, TValue> work, HandledRecord<TKey, TValue> record, Exception failure,
        Exception? unwritten, int attempts)
    {
        var at = record.Record;
        if (failure is HandlerCreationException)
        {
            // The record was never passed to a handler.
            Stop(work, failure);
            return false;
        }
        switch (_options.OnFailure)
        {
            case FailureAction.Skip when unwritten is not null:
                // The handler asked to keep the record, so skipping would lose it.
                Stop(work, Unwritten(at, unwritten, failure));
                return false;
            case FailureAction.Skip:
                _failures.Report(LogLevel.Error, at.TopicPartition, at.Offset, failure, attempts, "it was skipped");
                Interlocked.Increment(ref _skipped);
                return true;
            case FailureAction.StopPartition:
                Stop(work, failure);
                return false;
        }
        try
        {
            var topic = await _deadLetters.Value.WriteAsync(record, failure, attempts, work.Claim.Gone).ConfigureAwait(false);
            _failures.Report(LogLevel.Error, at.TopicPartition, at.Offset, failure, attempts, $"it is in {topic}");
            CountDeadLetter(at.TopicPartition);
            return true;
        }
        catch (Exception) when (work.Claim.IsGone)
        {
            return false;
        }
        catch (Exception e)
        {
            // The record exists only in its source partition, so continuing would lose it.
            Stop(work, Unwritten(at, e, failure));
            return false;
        }
    }

    private static AggregateException Unwritten(in ConsumeResult<TKey, TValue> record, Exception unwritten, Exception failure) =>
        new($"The dead letter of {record.TopicPartition}, offset {record.Offset}, could not be written: {unwritten.Message}",
            unwritten == failure ? [unwritten] : [unwritten, failure]);

    private void StopPartition(TopicPartition partition, Exception reason)
    {
        if (_core.Stop(partition) is { } claim)
            Report(claim, reason);
    }

    private void Stop(PartitionWork<TKey, TValue> work, Exception reason)
    {
        work.Stop();
        Report(work.Claim, reason);
    }

    /// <summary>Reports the first reason to stop of an assignment, until the partition is resumed.</summary>
    private void Report(AssignedPartition claim, Exception reason)
    {
        var partition = claim.Partition;
        var stop = new StoppedPartition(claim, reason);
        if (claim.IsGone || _stopped.AddOrUpdate(partition, stop, (_, known) => known.Claim == claim ? known : stop) != stop)
            return;
        LogStopped(reason, _group, partition);
        try
        {
            _options.PartitionStopped?.Invoke(partition, reason);
        }
        catch (Exception e)
        {
            // A fault of the application must not keep the record in flight, or end the processing of other partitions.
            LogCallbackFailed(e, partition);
        }
    }

    private sealed class StoppedPartition(AssignedPartition claim, Exception reason)
    {
        public AssignedPartition Claim { get; } = claim;

        public Exception Reason { get; } = reason;
    }

    [LoggerMessage(43, LogLevel.Critical, "Group {Group}: {Partition} has stopped. Its records are not handled until it is resumed or "
        + "reassigned.")]
    private partial void LogStopped(Exception exception, string group, TopicPartition partition);

    [LoggerMessage(44, LogLevel.Error, "PartitionStopped failed for {Partition}, which has stopped nevertheless.")]
    private partial void LogCallbackFailed(Exception exception, TopicPartition partition);
}

/// <summary>A processor's counters.</summary>
/// <param name="Handled">Records whose handler returned.</param>
/// <param name="Retries">Attempts after the first.</param>
/// <param name="DeadLettered">Records written to a dead-letter topic.</param>
/// <param name="Skipped">Records skipped after a failure.</param>
public readonly record struct MessageProcessorStatistics(long Handled, long Retries, long DeadLettered, long Skipped);
