using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <inheritdoc cref="IQueueConsumer{TKey, TValue}"/>
internal sealed partial class QueueConsumer<TKey, TValue> : IQueueConsumer<TKey, TValue>
{
    // A lock is renewed three times before it would end.
    private const int RenewalsPerLock = 3;

    // Completions that handlers have left behind and that are not answered yet; a handler waits for a place.
    private const int MostUnanswered = 1_000;

    private readonly IBroker _broker;
    private readonly QueueConsumerOptions _options;
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    // Bounded by the credit of each partition.
    private readonly Channel<QueueMessage<TKey, TValue>> _messages = Channel.CreateUnbounded<QueueMessage<TKey, TValue>>();
    // Those whose locks are renewed, each with its last renewal.
    private readonly ConcurrentDictionary<QueueMessage<TKey, TValue>, Task> _renewed = new();
    // The partitions that have no room for the queue.
    private readonly ConcurrentDictionary<int, byte> _full = new();
    private readonly Task _running;
    private int _partitions;
    private int _disposed;

    public QueueConsumer(IBroker broker, QueueConsumerOptions options, IDeserializer<TKey> keys, IDeserializer<TValue> values,
        ILogger logger)
    {
        options.Validate();
        (_broker, _options, _keys, _values, _logger) = (broker, options, keys, values, logger);
        _running = Task.WhenAll(ReceivePartitionsAsync(), options.LockDuration > TimeSpan.Zero ? RenewAsync() : Task.CompletedTask);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueMessage<TKey, TValue>> ReceiveAsync(CancellationToken cancellationToken = default)
    {
        var message = await TakeAsync(cancellationToken).ConfigureAwait(false);
        _renewed.TryRemove(message, out _);
        return message;
    }

    /// <summary>Receives the next message if there is one now.</summary>
    public QueueMessage<TKey, TValue>? TryReceive()
    {
        while (_messages.Reader.TryRead(out var ready))
        {
            _renewed.TryRemove(ready, out _);
            if (!ready.Attachment.HasEnded)
                return ready;
        }
        return null;
    }

    /// <inheritdoc/>
    public async ValueTask<QueueMessage<TKey, TValue>?> ReceiveAsync(TimeSpan maxWait, CancellationToken cancellationToken = default)
    {
        // A wait of zero is over before it begins.
        if (TryReceive() is { } ready)
            return ready;
        using var deadline = new CancellationTokenSource(maxWait, _options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await ReceiveAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public async Task RunAsync(Func<QueueMessage<TKey, TValue>, CancellationToken, ValueTask> handle, int concurrency = 1,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(handle);
        ArgumentOutOfRangeException.ThrowIfLessThan(concurrency, 1);
        using var unanswered = new SemaphoreSlim(MostUnanswered);
        try
        {
            await Task.WhenAll(Enumerable.Range(0, concurrency).Select(_ => Task.Run(HandleAllAsync, CancellationToken.None)))
                .ConfigureAwait(false);
        }
        finally
        {
            for (var place = 0; place < MostUnanswered; place++)
                await unanswered.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        }

        async Task HandleAllAsync()
        {
            while (!cancellationToken.IsCancellationRequested)
            {
                try
                {
                    var message = await TakeAsync(cancellationToken).ConfigureAwait(false);
                    if (await HandleAsync(message, handle, cancellationToken).ConfigureAwait(false))
                    {
                        await unanswered.WaitAsync(CancellationToken.None).ConfigureAwait(false);
                        _ = CompleteAsync(message, unanswered);
                    }
                }
                catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
                {
                    return;
                }
            }
        }
    }

    /// <summary>Stops. Messages that are not settled go back.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await _stopping.CancelAsync().ConfigureAwait(false);
        _messages.Writer.TryComplete();
        await _running.ConfigureAwait(false);
        _stopping.Dispose();
    }

    // Those of an attachment that has ended are delivered again.
    private async ValueTask<QueueMessage<TKey, TValue>> TakeAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            QueueMessage<TKey, TValue> message;
            try
            {
                message = await _messages.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ChannelClosedException closed)
            {
                if (closed.InnerException is BrokerException refused)
                    throw new BrokerException(refused.Code, refused.Message, refused);
                throw new ObjectDisposedException(nameof(QueueConsumer<,>));
            }
            if (!message.Attachment.HasEnded)
                return message;
            _renewed.TryRemove(message, out _);
        }
    }

    // Returns whether the message is to be completed.
    private async Task<bool> HandleAsync(QueueMessage<TKey, TValue> message,
        Func<QueueMessage<TKey, TValue>, CancellationToken, ValueTask> handle, CancellationToken cancellationToken)
    {
        Exception? failure = null;
        try
        {
            await handle(message, cancellationToken).ConfigureAwait(false);
            if (!message.IsSettled)
                return true;
        }
        catch (Exception thrown)
        {
            failure = thrown;
        }
        var isCancelled = failure is OperationCanceledException && cancellationToken.IsCancellationRequested;
        if (failure is not null && !isCancelled)
            LogFailed(message.TopicPartition, message.Offset, failure);
        if (failure is not null && !message.IsSettled)
        {
            await SettledAsync(message, () => isCancelled ? message.ReleaseAsync(cancellationToken: CancellationToken.None)
                : message.AbandonAsync(cancellationToken: CancellationToken.None)).ConfigureAwait(false);
        }
        _renewed.TryRemove(message, out _);
        return false;
    }

    // Its handler has returned: the next message does not wait for the answer.
    private async Task CompleteAsync(QueueMessage<TKey, TValue> message, SemaphoreSlim unanswered)
    {
        try
        {
            await SettledAsync(message, () => message.CompleteAsync(CancellationToken.None)).ConfigureAwait(false);
            _renewed.TryRemove(message, out _);
        }
        finally
        {
            unanswered.Release();
        }
    }

    // What the handler has begun may settle it at the same moment: it is then refused here.
    private async Task SettledAsync(QueueMessage<TKey, TValue> message, Func<Task> settle)
    {
        try
        {
            await settle().ConfigureAwait(false);
        }
        catch (Exception refused)
        {
            LogNotSettled(message.TopicPartition, message.Offset, refused);
        }
    }

    private async Task ReceivePartitionsAsync()
    {
        var partitions = new List<Task>();
        var next = 0;
        var stopping = _stopping.Token;
        for (var attempt = 0; !stopping.IsCancellationRequested;)
        {
            try
            {
                var topic = await _broker.GetTopicAsync(_options.Topic, stopping).ConfigureAwait(false);
                _partitions = _options.Partition is null ? topic.Partitions : 1;
                for (; next < topic.Partitions; next++)
                {
                    if (_options.Partition is null || _options.Partition == next)
                        partitions.Add(Task.Run(Receiving(new TopicPartition(_options.Topic, next)), CancellationToken.None));
                }
                attempt = 0;
                await DelayAsync(_options.MetadataMaxAge).ConfigureAwait(false);
            }
            catch (Exception failure) when (!stopping.IsCancellationRequested)
            {
                if (EndIfRefused(failure))
                    break;
                LogRetry(_options.Topic, failure);
                await BackOffAsync(++attempt).ConfigureAwait(false);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                // Whatever fails now, the consumer stops.
                break;
            }
        }
        await Task.WhenAll(partitions).ConfigureAwait(false);

        Func<Task> Receiving(TopicPartition partition) => () => ReceivePartitionAsync(partition);
    }

    // Attaches, and attaches again whenever the attachment ended or a delivery may have been lost.
    private async Task ReceivePartitionAsync(TopicPartition partition)
    {
        var stopping = _stopping.Token;
        for (var attempt = 1; !stopping.IsCancellationRequested; attempt++)
        {
            QueueAttachment? attachment = null;
            try
            {
                attachment = await AttachAsync(partition, stopping).ConfigureAwait(false);
                _full.TryRemove(partition.Partition, out _);
                using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping, attachment.Ended);
                while (true)
                {
                    ended.Token.ThrowIfCancellationRequested();
                    QueueDelivery? delivery;
                    try
                    {
                        delivery = await _broker.Queues.ReceiveAsync(partition, attachment.Id, _options.Credit, _options.MaxWait,
                            ended.Token).ConfigureAwait(false);
                    }
                    catch (BrokerException unreadable) when (unreadable.Code is ErrorCode.CorruptMessage
                        or ErrorCode.UnsupportedCompressionType)
                    {
                        // Others are received, and what the consumer holds stays with it.
                        LogUnreadable(partition, unreadable);
                        await BackOffAsync(++attempt).ConfigureAwait(false);
                        continue;
                    }
                    attempt = 0;
                    foreach (var record in delivery?.Records ?? [])
                        Add(new QueueMessage<TKey, TValue>(attachment, delivery!.Lock, record, _keys, _values));
                }
            }
            catch (Exception failure) when (!stopping.IsCancellationRequested)
            {
                if (!EndIfRefused(partition, failure))
                    LogRetry(partition.ToString(), failure);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                // The consumer stops.
            }
            // What ended it by a settlement may last.
            if (attachment is { HasEnded: true })
                attempt = Math.Max(attempt, 1);
            if (attachment is not null)
                await DetachAsync(attachment).ConfigureAwait(false);
            await BackOffAsync(attempt).ConfigureAwait(false);
        }
    }

    // A partition without room for the queue holds up none of the others.
    private bool EndIfRefused(TopicPartition partition, Exception failure)
    {
        if (failure is not BrokerException { Code: ErrorCode.PolicyViolation } full)
            return EndIfRefused(failure);
        if (_full.TryAdd(partition.Partition, 0))
            LogFull(partition, full);
        return _full.Count >= _partitions && EndIfRefused(failure);
    }

    // What no retry mends is the caller's to know.
    private bool EndIfRefused(Exception failure)
    {
        if (failure is not BrokerException
            {
                Code: ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed or ErrorCode.ClusterAuthorizationFailed
                    or ErrorCode.InvalidRequest or ErrorCode.InvalidConfig or ErrorCode.PolicyViolation or ErrorCode.UnsupportedVersion,
            })
            return false;
        _messages.Writer.TryComplete(failure);
        _ = _stopping.CancelAsync();
        return true;
    }

    private async Task<QueueAttachment> AttachAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        if (_options.Create is { } options)
        {
            await _broker.Queues.CreateAsync(partition, new NewQueue(_options.Queue) { Options = options, Start = _options.Start },
                cancellationToken).ConfigureAwait(false);
        }
        // Not with the token: the answer would be dropped, and who does not know the consumer cannot detach it.
        var attaching = _broker.Queues.AttachAsync(partition, _options.Queue, new QueueAttachOptions
        {
            Priority = _options.PriorityOf?.Invoke(partition) ?? _options.Priority,
            Prefetch = _options.Credit,
            LockDuration = _options.LockDuration,
            SessionTimeout = _options.SessionTimeout,
            KeyRun = _options.KeyRun,
        }, CancellationToken.None).AsTask();
        try
        {
            return new QueueAttachment(_broker.Queues, partition, await attaching.WaitAsync(cancellationToken).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            _ = DetachLateAsync(partition, attaching);
            throw;
        }
    }

    // What it was handed meanwhile goes to others.
    private async Task DetachLateAsync(TopicPartition partition, Task<Guid> attaching)
    {
        try
        {
            var consumer = await attaching.ConfigureAwait(false);
            await _broker.Queues.DetachAsync(partition, consumer, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // There is none, or it ends with its session.
            LogRetry(partition.ToString(), failure);
        }
    }

    private async Task DetachAsync(QueueAttachment attachment)
    {
        // What was settled is not given back; after a lost settlement it has to be.
        if (!attachment.HasEnded)
            await attachment.SettledAsync().WaitAsync(_options.SessionTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        attachment.End();
        foreach (var message in _renewed.Keys.Where(message => message.Attachment == attachment))
            _renewed.TryRemove(message, out _);
        try
        {
            await _broker.Queues.DetachAsync(attachment.Partition, attachment.Id, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // It ends with its session.
            LogRetry(attachment.Partition.ToString(), failure);
        }
    }

    private void Add(QueueMessage<TKey, TValue> message)
    {
        if (_options.LockDuration > TimeSpan.Zero)
            _renewed[message] = Task.CompletedTask;
        _messages.Writer.TryWrite(message);
    }

    private async Task RenewAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            await DelayAsync(_options.LockDuration / RenewalsPerLock).ConfigureAwait(false);
            // A settlement that waits for its request keeps its lock, too. A partition that does not answer holds up its own messages only.
            foreach (var (message, last) in _renewed)
            {
                if (last.IsCompleted)
                    _renewed.TryUpdate(message, RenewOneAsync(message), last);
            }
        }
    }

    private async Task RenewOneAsync(QueueMessage<TKey, TValue> message)
    {
        try
        {
            await message.RenewAsync(_stopping.Token).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // One that is not held any more is refused when it is settled.
            if (failure is BrokerException { Code: ErrorCode.InvalidRecordState })
                _renewed.TryRemove(message, out _);
        }
    }

    private Task BackOffAsync(int attempt) => attempt == 0 ? Task.CompletedTask
        : DelayAsync(RetryBackoff.For(attempt, _options.RetryBackoff, _options.RetryBackoffMax, Random.Shared.NextDouble()));

    private async Task DelayAsync(TimeSpan delay)
    {
        try
        {
            await Task.Delay(delay, _options.TimeProvider, _stopping.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The consumer stops.
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message =
        "Partition {Partition} has no room for the queue or its consumer, and is not consumed now; retrying.")]
    private partial void LogFull(TopicPartition partition, Exception reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The handler of the message at {Partition}, offset {Offset}, failed.")]
    private partial void LogFailed(TopicPartition partition, long offset, Exception failure);

    [LoggerMessage(Level = LogLevel.Warning, Message =
        "The message at {Partition}, offset {Offset}, was handled and not settled; it may be delivered again.")]
    private partial void LogNotSettled(TopicPartition partition, long offset, Exception failure);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The broker cannot read messages of {Partition}; they are tried again later.")]
    private partial void LogUnreadable(TopicPartition partition, Exception failure);

    [LoggerMessage(Level = LogLevel.Debug, Message = "The queue's consumer of {Partition} retries.")]
    private partial void LogRetry(string partition, Exception failure);
}
