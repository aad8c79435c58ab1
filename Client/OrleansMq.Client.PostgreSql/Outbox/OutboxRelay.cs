using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Npgsql;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client.PostgreSql;

/// <summary>Sends the messages of an outbox while this process is in charge, and takes over when no other one is. A session ends with its
/// first failed transaction; what was on its way is sent again by the next one, under the same sequences.</summary>
internal sealed partial class OutboxRelay(IBroker broker, NpgsqlDataSource database, PostgresOutboxOptions options, TimeProvider time,
    ILogger logger)
{
    private static readonly TimeSpan FirstRetryDelay = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan RouteInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StatusInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestMarkPause = TimeSpan.FromMilliseconds(100);

    private readonly IBroker _broker = broker;
    private readonly NpgsqlDataSource _database = database;
    private readonly PostgresOutboxOptions _options = options;
    private readonly TimeProvider _time = time;
    private readonly ILogger _logger = logger;
    private readonly OnceAMinute _once = new(time);
    private readonly PostgresOutbox _outbox = new(options);
    private ProducerIdentity? _identity;
    private Guid _session;

    /// <summary>Runs until it is stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                if (await TakeOverAsync(stop).ConfigureAwait(false) is { } session)
                    await session.RunAsync(stop).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (OutboxSessionLostException lost)
            {
                LogLost(_logger, _options.Name, lost.Message);
            }
            catch (Exception failure)
            {
                // Whatever the database or the broker has thrown: nothing of the session is kept, and the next one begins anew.
                _once.Do("session", () => LogFailed(_logger, _options.Name, failure));
            }
            OutboxMetrics.Forget(_options.Name);
            await PauseAsync(_options.PollInterval, stop).ConfigureAwait(false);
        }
    }

    private async Task<Session?> TakeOverAsync(CancellationToken stop)
    {
        if (!await OutboxStore.IsFreeAsync(_database, _options.Name, _session, stop).ConfigureAwait(false))
            return null;
        // Before the lease: a process that reaches no broker does not take charge.
        _identity ??= await _broker.InitProducerIdAsync(stop).ConfigureAwait(false);
        var next = Guid.NewGuid();
        var store = new OutboxStore(_database, _options, next);
        try
        {
            if (!await store.TakeOverAsync(_session, stop).ConfigureAwait(false))
                return null;
        }
        catch (OperationCanceledException)
        {
            // It may be in charge already.
            await store.ReleaseAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
        _session = next;
        var identity = _identity.Value;
        _identity = null;
        LogTookOver(_logger, _options.Name);
        return new Session(this, store, new OutboxRelayCore(_options.Name, identity.ProducerId, identity.ProducerEpoch));
    }

    private Task PauseAsync(TimeSpan delay, CancellationToken cancellationToken) =>
        Task.Delay(delay, _time, cancellationToken).ContinueWith(static _ => { }, CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    private async Task<(ErrorCode Error, string? Reason)> AppendAsync(OutboxBatch batch, IReadOnlyList<OutboxMessage> messages)
    {
        try
        {
            using var builder = new RecordBatchBuilder();
            foreach (var message in messages)
            {
                builder.Add(message.Timestamp, message.Key, message.Key is not null, message.Value, message.Value is not null,
                    HeadersOf(message));
            }
            builder.SetProducer(batch.ProducerId, batch.Epoch, batch.Sequence);
            if (_options.BeforeSend is { } before)
                await before(batch).ConfigureAwait(false);
            var result = await _broker.ProduceAsync(batch.Target, builder.Build(), Acks.All).ConfigureAwait(false);
            if (_options.AfterSend is { } after)
                await after(batch).ConfigureAwait(false);
            return (result.Error, result.Message);
        }
        catch (OrleansMqException failure)
        {
            return (failure.Code, failure.Message);
        }
        catch (Exception failure)
        {
            // Whatever the call was lost in: the messages are sent again under their sequences.
            return (ErrorCode.RequestTimedOut, failure.Message);
        }
    }

    private static RecordHeader[] HeadersOf(OutboxMessage message)
    {
        var headers = new RecordHeader[message.HeaderNames.Length + 1];
        for (var i = 0; i < message.HeaderNames.Length; i++)
        {
            headers[i] = new RecordHeader(Encoding.UTF8.GetBytes(message.HeaderNames[i]),
                message.HeaderValues[i] is { } value ? (ReadOnlyMemory<byte>?)value : null);
        }
        headers[^1] = RecordHeaders.Text(MessageHeaders.MessageId, message.MessageId);
        return headers;
    }

    /// <summary>One session. Its loop owns the core; other tasks post to it.</summary>
    private sealed class Session(OutboxRelay relay, OutboxStore store, OutboxRelayCore core)
    {
        private readonly Channel<Action> _events = Channel.CreateUnbounded<Action>(new UnboundedChannelOptions { SingleReader = true });
        private readonly Dictionary<TopicPartition, int> _attempts = [];
        private readonly Dictionary<string, Lookup> _lookups = new(StringComparer.Ordinal);
        private readonly CancellationTokenSource _ending = new();
        private long _lastId;
        private long _lastLook;
        private long _lastTurn;
        private bool _isNotified = true;
        private TimeSpan _markPause;

        private PostgresOutboxOptions Options => relay._options;

        private TimeProvider Time => relay._time;

        public async Task RunAsync(CancellationToken stop)
        {
            var background = Task.WhenAll(ListenAsync(), MeasureAsync());
            try
            {
                // Not cancelled: a session that is in charge hands over.
                core.Recover(await store.ReadBatchesAsync(CancellationToken.None).ConfigureAwait(false));
                _lastTurn = Time.GetTimestamp();
                while (!stop.IsCancellationRequested && !core.IsWornOut)
                    await StepAsync(stop).ConfigureAwait(false);
                await FinishAsync().ConfigureAwait(false);
            }
            finally
            {
                await _ending.CancelAsync().ConfigureAwait(false);
                await background.ConfigureAwait(false);
            }
        }

        private async Task StepAsync(CancellationToken stop)
        {
            while (_events.Reader.TryRead(out var next))
                next();
            await DropDiscardedAsync().ConfigureAwait(false);
            RouteTopics();
            if (_isNotified || Since(_lastLook) >= LookPause)
                await LookAsync().ConfigureAwait(false);
            if (core.HasWork || core.NeedsMark(_lastId) || Since(_lastTurn) >= Options.LeaseDuration / 3)
            {
                await TurnAsync().ConfigureAwait(false);
                return;
            }
            using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var left = Options.LeaseDuration / 3 - Since(_lastTurn);
            timeout.CancelAfter(left < LookPause ? left < TimeSpan.Zero ? TimeSpan.Zero : left : LookPause);
            try
            {
                await _events.Reader.WaitToReadAsync(timeout.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (timeout.IsCancellationRequested)
            {
                // It is time to look, or to stop.
            }
        }

        // Transactions are not cancelled by a stop: their outcome would be unknown.
        private async Task TurnAsync()
        {
            var sends = await store.TurnAsync(core, _lastId, CancellationToken.None).ConfigureAwait(false);
            _lastTurn = Time.GetTimestamp();
            foreach (var (batch, messages) in sends)
                _ = SendAsync(batch, messages);
        }

        private TimeSpan LookPause => core.HasMarks && _markPause < Options.PollInterval ? _markPause : Options.PollInterval;

        private async Task LookAsync()
        {
            _isNotified = false;
            (_lastId, var oldest) = await store.LookAsync(CancellationToken.None).ConfigureAwait(false);
            _lastLook = Time.GetTimestamp();
            core.See(oldest);
            // While a transaction is open that began before a message was added, its end is looked for more and more rarely.
            _markPause = !core.HasMarks || core.NeedsMark(_lastId) ? TimeSpan.Zero
                : TimeSpan.FromTicks(Math.Min(LongestMarkPause.Ticks, Math.Max(TimeSpan.TicksPerMillisecond, 2 * _markPause.Ticks)));
        }

        private async Task SendAsync(OutboxBatch batch, IReadOnlyList<OutboxMessage> messages)
        {
            var (error, reason) = await relay.AppendAsync(batch, messages).ConfigureAwait(false);
            _events.Writer.TryWrite(() => Answer(batch, error, reason));
        }

        private void Answer(OutboxBatch batch, ErrorCode error, string? reason)
        {
            var verdict = core.Answer(batch, error, reason);
            var tag = new KeyValuePair<string, object?>("messaging.destination.name", batch.Target.Topic);
            if (verdict != OutboxVerdict.Retry)
                _attempts.Remove(batch.Target);
            switch (verdict)
            {
                case OutboxVerdict.Retry:
                    relay._once.Do($"{batch.Target}", () => LogRetry(relay._logger, batch.Ids.Count, Options.Name, batch.Target, error,
                        reason));
                    OutboxMetrics.Retries.Add(1, tag);
                    // The topic may be another one by now.
                    if (error == ErrorCode.UnknownTopicOrPartition && _lookups.TryGetValue(batch.Target.Topic, out var lookup))
                        lookup.FoundAt = null;
                    var attempt = _attempts[batch.Target] = _attempts.GetValueOrDefault(batch.Target) + 1;
                    _ = ResumeAsync(batch, attempt);
                    break;
                case OutboxVerdict.Refused:
                    LogParked(relay._logger, batch.Ids[0], Options.Name, batch.Target, error, reason);
                    OutboxMetrics.Parked.Add(1, tag);
                    break;
                case OutboxVerdict.Renewed:
                    LogRenewed(relay._logger, batch.Ids.Count, Options.Name, batch.Target, error, reason);
                    break;
                default:
                    break;
            }
        }

        private async Task ResumeAsync(OutboxBatch batch, int attempt)
        {
            await PauseAsync(attempt).ConfigureAwait(false);
            _events.Writer.TryWrite(() => core.Resume(batch));
        }

        // Before a repetition.
        private Task PauseAsync(int attempt)
        {
            var delay = FirstRetryDelay * Math.Pow(2, Math.Min(attempt - 1, 20));
            return relay.PauseAsync(delay < Options.MaxRetryDelay ? delay : Options.MaxRetryDelay, _ending.Token);
        }

        // Topics may get more partitions.
        private void RouteTopics()
        {
            foreach (var topic in core.Topics())
            {
                if (!_lookups.TryGetValue(topic, out var lookup))
                    _lookups.Add(topic, lookup = new Lookup());
                if (lookup.IsRunning || (lookup.FoundAt is { } last && Since(last) < RouteInterval))
                    continue;
                lookup.IsRunning = true;
                _ = RouteAsync(topic, lookup, Time.GetTimestamp());
            }
        }

        // One attempt. The next one comes if the topic has messages still.
        private async Task RouteAsync(string topic, Lookup lookup, long began)
        {
            try
            {
                var partitions = (await relay._broker.GetTopicAsync(topic, _ending.Token).ConfigureAwait(false)).Partitions;
                _events.Writer.TryWrite(() =>
                {
                    (lookup.IsRunning, lookup.FoundAt, lookup.Misses) = (false, began, 0);
                    core.Route(topic, partitions);
                    if (core.HasLost(topic, partitions))
                        _ = RebindAsync(topic);
                });
                return;
            }
            catch (OperationCanceledException) when (_ending.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure)
            {
                // Whatever the call was lost in: the messages wait until the topic is found.
                relay._once.Do(topic, () => LogNoTopic(relay._logger, Options.Name, topic, failure.Message));
            }
            await PauseAsync(lookup.Misses + 1).ConfigureAwait(false);
            _events.Writer.TryWrite(() =>
            {
                (lookup.IsRunning, lookup.FoundAt, lookup.HasMissed) = (false, null, true);
                lookup.Misses++;
            });
        }

        // A broker that answers a lookup may not have heard yet of partitions that the topic has got. The topic's own document tells.
        private async Task RebindAsync(string topic)
        {
            try
            {
                var partitions = (await relay._broker.GetCurrentTopicAsync(topic, _ending.Token).ConfigureAwait(false)).Partitions;
                _events.Writer.TryWrite(() =>
                {
                    foreach (var partition in core.Rebind(topic, partitions))
                        LogRebound(relay._logger, Options.Name, partition, partitions);
                });
            }
            catch (Exception failure)
            {
                // Whatever the call was lost in: the next answer that there is no such partition begins anew.
                if (!_ending.IsCancellationRequested)
                    relay._once.Do(topic, () => LogNoTopic(relay._logger, Options.Name, topic, failure.Message));
            }
        }

        // Messages to a topic that was never there are often discarded. Others leave when their batch is bound.
        private async Task DropDiscardedAsync()
        {
            foreach (var (topic, lookup) in _lookups)
            {
                if (!lookup.HasMissed)
                    continue;
                lookup.HasMissed = false;
                var ids = core.Undecided(topic);
                if (ids.Count > 0)
                    core.Drop(topic, await store.ExistingAsync(ids, CancellationToken.None).ConfigureAwait(false));
                if (!core.Topics().Contains(topic))
                    lookup.Misses = 0;
            }
        }

        // The stop waits for what is on its way, stores it, and hands over.
        private async Task FinishAsync()
        {
            using var timeout = new CancellationTokenSource(Options.StopTimeout, Time);
            try
            {
                while (core.IsSending)
                    (await _events.Reader.ReadAsync(timeout.Token).ConfigureAwait(false))();
            }
            catch (OperationCanceledException) when (timeout.IsCancellationRequested)
            {
                LogLeft(relay._logger, Options.Name);
            }
            if (core.HasAnswers)
                await store.EndAsync(core, CancellationToken.None).ConfigureAwait(false);
            await store.ReleaseAsync(CancellationToken.None).ConfigureAwait(false);
        }

        // Without a connection to listen on, the relay polls.
        private async Task ListenAsync()
        {
            while (!_ending.IsCancellationRequested)
            {
                try
                {
                    await using var connection = await relay._database.OpenConnectionAsync(_ending.Token).ConfigureAwait(false);
                    connection.Notification += (_, notification) =>
                    {
                        if (notification.Payload == Options.Name)
                            _events.Writer.TryWrite(() => _isNotified = true);
                    };
                    await using (var command = new NpgsqlCommand($"LISTEN {PostgresOutbox.Channel}", connection))
                        await command.ExecuteNonQueryAsync(_ending.Token).ConfigureAwait(false);
                    while (true)
                        await connection.WaitAsync(_ending.Token).ConfigureAwait(false);
                }
                catch (Exception) when (_ending.IsCancellationRequested)
                {
                    return;
                }
                catch (Exception failure)
                {
                    // Whatever the driver or the application's data source has thrown: the session goes on without it.
                    relay._once.Do("listen", () => LogNotListening(relay._logger, Options.Name, failure.Message));
                }
                await relay.PauseAsync(Options.PollInterval, _ending.Token).ConfigureAwait(false);
            }
        }

        private async Task MeasureAsync()
        {
            while (!_ending.IsCancellationRequested)
            {
                try
                {
                    OutboxMetrics.Set(Options.Name, await relay._outbox.GetStatusAsync(relay._database, _ending.Token)
                        .ConfigureAwait(false));
                }
                catch (Exception) when (_ending.IsCancellationRequested)
                {
                    return;
                }
                catch (Exception failure)
                {
                    OutboxMetrics.Forget(Options.Name);
                    relay._once.Do("measure", () => LogNotMeasured(relay._logger, Options.Name, failure.Message));
                }
                await relay.PauseAsync(StatusInterval, _ending.Token).ConfigureAwait(false);
            }
        }

        private TimeSpan Since(long timestamp) => Time.GetElapsedTime(timestamp);

        /// <summary>What is known of a topic. The loop writes it.</summary>
        private sealed class Lookup
        {
            public bool IsRunning { get; set; }
            // When the lookup began that found it; null: it was not found, or not looked up.
            public long? FoundAt { get; set; }
            // How often it was not found since.
            public int Misses { get; set; }
            // Its messages are to be looked at: they may have been discarded.
            public bool HasMissed { get; set; }
        }
    }

    // A failure that lasts is logged once a minute.
    private sealed class OnceAMinute(TimeProvider time)
    {
        private readonly Lock _lock = new();
        private readonly Dictionary<string, long> _logged = [];

        public void Do(string subject, Action log)
        {
            lock (_lock)
            {
                if (_logged.TryGetValue(subject, out var last) && time.GetElapsedTime(last) < TimeSpan.FromMinutes(1))
                    return;
                _logged[subject] = time.GetTimestamp();
            }
            log();
        }
    }

    [LoggerMessage(1, LogLevel.Information, "The relay of outbox {Outbox} is in charge.")]
    private static partial void LogTookOver(ILogger logger, string outbox);

    [LoggerMessage(2, LogLevel.Warning, "The relay of outbox {Outbox} is not in charge any more: {Reason}")]
    private static partial void LogLost(ILogger logger, string outbox, string reason);

    [LoggerMessage(3, LogLevel.Warning, "The relay of outbox {Outbox} begins anew; messages wait. Where its tables are missing, call "
        + "OutboxTables.CreateAsync.")]
    private static partial void LogFailed(ILogger logger, string outbox, Exception failure);

    [LoggerMessage(4, LogLevel.Warning, "{Count} messages of outbox {Outbox} are not delivered to {Target}, and are sent again: {Error}: "
        + "{Reason}")]
    private static partial void LogRetry(ILogger logger, int count, string outbox, TopicPartition target, ErrorCode error, string? reason);

    [LoggerMessage(5, LogLevel.Error, "Message {Id} of outbox {Outbox} is parked, since {Target} refuses it: {Error}: {Reason} Later "
        + "messages are delivered without it. Call RetryParkedAsync or DiscardParkedAsync.")]
    private static partial void LogParked(ILogger logger, long id, string outbox, TopicPartition target, ErrorCode error, string? reason);

    [LoggerMessage(6, LogLevel.Warning, "{Count} messages of outbox {Outbox} are sent to {Target} under other sequences, since the broker "
        + "does not know the producer as it was: {Error}: {Reason}")]
    private static partial void LogRenewed(ILogger logger, int count, string outbox, TopicPartition target, ErrorCode error,
        string? reason);

    [LoggerMessage(7, LogLevel.Warning, "Messages of outbox {Outbox} wait for topic {Topic}, which is not found: {Reason}")]
    private static partial void LogNoTopic(ILogger logger, string outbox, string topic, string reason);

    [LoggerMessage(8, LogLevel.Information, "The relay of outbox {Outbox} stops with messages on their way; the next one sends them again, "
        + "under their sequences.")]
    private static partial void LogLeft(ILogger logger, string outbox);

    [LoggerMessage(9, LogLevel.Warning, "The relay of outbox {Outbox} cannot listen for notifications, and polls: {Reason}")]
    private static partial void LogNotListening(ILogger logger, string outbox, string reason);

    [LoggerMessage(11, LogLevel.Warning, "Messages of outbox {Outbox} for {Target} go to other partitions: the topic was made again, and "
        + "has {Partitions}.")]
    private static partial void LogRebound(ILogger logger, string outbox, TopicPartition target, int partitions);

    [LoggerMessage(10, LogLevel.Warning, "Outbox {Outbox} cannot be measured; its gauges are gone until it can: {Reason}")]
    private static partial void LogNotMeasured(ILogger logger, string outbox, string reason);
}
