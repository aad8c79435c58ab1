using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Records on their way through a handler: their order, their retries and their outcome.</summary>
public sealed class MessageProcessorTests : ConsumerFixture
{
    private static MessageHandlingOptions Handling { get; } = new()
    {
        Topics = [Topic],
        Retry = new RetryPolicy { MaxAttempts = 3, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(2) },
    };

    private MessageProcessor<string, string> Start(Func<ConsumeResult<string, string>, CancellationToken, ValueTask> handle,
        MessageHandlingOptions? handling = null,
        ConsumerOptions? consumer = null)
    {
        var processor = Client.CreateProcessor(consumer ?? Options(), handling ?? Handling, handle);
        processor.Start();
        return processor;
    }

    private static FetchSession? SessionOf(MessageProcessor<string, string> processor, int partition) =>
        ((ConsumerCore)processor.Consumer).Buffer.Find(P(partition));

    private async Task<IReadOnlyList<ConsumeResult<byte[]?, byte[]?>>> DeadLettersAsync(int count)
    {
        await using var reader = Client.CreatePartitionReader<byte[]?, byte[]?>();
        reader.Assign(await Client.Admin.ListPartitionsAsync(Topic + ".dead-letter"), ReadFrom.Earliest);
        var letters = new List<ConsumeResult<byte[]?, byte[]?>>();
        while (letters.Count < count)
            letters.Add(await reader.ReadAsync().SoonAsync());
        return letters;
    }

    [Fact]
    public async Task Redriven_dead_letters_return_to_their_partition_once_and_continue_where_the_last_redrive_ended()
    {
        await SendAsync(0, "bad 1", "good");
        await SendAsync(2, "bad 2");
        var isMended = false;
        var handled = new ConcurrentQueue<string>();
        await using (var processor = Start((record, _) =>
        {
            if (!Volatile.Read(ref isMended) && record.Value.StartsWith("bad", StringComparison.Ordinal))
                throw new InvalidDataException();
            handled.Enqueue($"{record.TopicPartition.Partition} {record.Key} {record.Value}");
            return default;
        }))
        {
            await Wait.UntilAsync(() => processor.Statistics.DeadLettered == 2, "the dead letters");
            // Without a change they fail again, and are not sent a second time by the same call.
            Assert.Equal(new RedriveResult(2, 0, 0, 0), await Test.Client.Admin.RedriveAsync(Topic + ".dead-letter").SoonAsync());
            await Wait.UntilAsync(() => processor.Statistics.DeadLettered == 4, "the dead letters of the redriven");
            Volatile.Write(ref isMended, true);
            Assert.Equal(new RedriveResult(1, 1, 0, 0), await Test.Client.Admin.RedriveAsync(Topic + ".dead-letter", new RedriveOptions
            {
                Filter = letter => System.Text.Encoding.UTF8.GetString(letter.Value!) == "bad 2"
                    && letter.Headers.Single(header => header.Name() == DeadLetterHeaders.Redrives).TextValue() == "1",
            }).SoonAsync());
            await Wait.UntilAsync(() => handled.Count == 2, "the record");
        }
        Assert.Equal(["0 key of good good", "2 key of bad 2 bad 2"], handled.Order());
        Assert.Equal(new RedriveResult(0, 0, 0, 0), await Test.Client.Admin.RedriveAsync(Topic + ".dead-letter").SoonAsync());
        Assert.Equal(new RedriveResult(4, 0, 0, 0),
            await Test.Client.Admin.RedriveAsync(Topic + ".dead-letter", new RedriveOptions { GroupId = "again" }).SoonAsync());
    }

    [Fact]
    public async Task Redrive_reports_a_partition_that_returns_nothing_and_ends_at_offsets_without_records()
    {
        const string Letters = "letters";
        await Client.Admin.CreateTopicAsync(Letters, 1);
        await using (var producer = Test.Client.CreateTransactionalProducer<string, string>("letters"))
        {
            await using var aborted = await producer.BeginTransactionAsync();
            await aborted.SendAsync(new(Letters, "k", "no letter"));
            await aborted.AbortAsync();
        }
        // A new leader does not know yet what is readable.
        Broker.OnFetch = static (_, _) => new(new FetchResult(ErrorCode.None, 0, 0, 0, default));
        var failure = await Assert.ThrowsAsync<BrokerException>(() => Redrive(TimeSpan.Zero).RunAsync(default).SoonAsync());
        Assert.Equal(ErrorCode.LeaderNotAvailable, failure.Code);
        Assert.Null(Groups.Committed(new TopicPartition(Letters, 0)));
        // The last offset is that of the transaction's marker.
        Broker.OnFetch = null;
        Assert.Equal(new RedriveResult(0, 0, 0, 1), await Redrive(Wait.Deadline).RunAsync(default).SoonAsync());
        Assert.Equal(1, Groups.Committed(new TopicPartition(Letters, 0)));

        Redrive Redrive(TimeSpan patience) => new(Broker, Letters, new RedriveOptions())
        {
            MaxWait = TimeSpan.FromMilliseconds(200),
            Patience = patience,
        };
    }

    [Fact]
    public async Task Redrive_sends_a_record_once_and_passes_what_has_no_source()
    {
        const string Letters = "letters";
        await Client.Admin.CreateTopicAsync(Letters, 1);
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 2; i++)
                await producer.SendAsync(new(Letters, "k", "twice") { Headers = From(Topic, 3) });
            // Of a topic that was created again: another record at the same offset.
            await producer.SendAsync(new(Letters, "k", "another") { Headers = From(Topic, 3, time: 2) });
            await producer.SendAsync(new(Letters, "k", "deleted") { Headers = From("gone", 0) });
            await producer.SendAsync(new(Letters, "k", "no partition") { Headers = From(Topic, -1) });
            await producer.SendAsync(new(Letters, "k", "no letter"));
        }
        Assert.Equal(new RedriveResult(2, 0, 1, 3), await Test.Client.Admin.RedriveAsync(Letters).SoonAsync());
        await using var reader = Client.CreatePartitionReader<string, string>();
        reader.Assign(P(3), ReadFrom.Earliest);
        Assert.Equal("twice", (await reader.ReadAsync().SoonAsync()).Value);
        Assert.Equal("another", (await reader.ReadAsync().SoonAsync()).Value);

        static RecordHeader[] From(string topic, int partition, int time = 1) => [RecordHeaders.Text(DeadLetterHeaders.Topic, topic),
            RecordHeaders.Text(DeadLetterHeaders.Partition, $"{partition}"), RecordHeaders.Text(DeadLetterHeaders.Offset, "7"),
            RecordHeaders.Text(DeadLetterHeaders.Timestamp, $"{time}")];
    }

    [Fact]
    public async Task Partitions_run_in_parallel_and_each_in_order()
    {
        await SendAsync(0, [.. Enumerable.Range(0, 20).Select(i => $"0.{i}")]);
        await SendAsync(1, [.. Enumerable.Range(0, 20).Select(i => $"1.{i}")]);
        var handled = new ConcurrentDictionary<int, ConcurrentQueue<string>>();
        var both = new Barrier(2);
        await using (var processor = Start(async (record, token) =>
        {
            if (record.Offset == 0)
                await Task.Run(() => Assert.True(both.SignalAndWait(Wait.Deadline)), token);
            await Task.Yield();
            handled.GetOrAdd(record.TopicPartition.Partition, _ => new()).Enqueue(record.Value);
        }))
            await Wait.UntilAsync(() => processor.Statistics.Handled == 40, "all records");
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"0.{i}"), handled[0]);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"1.{i}"), handled[1]);
        Assert.Equal((20, 20), (Groups.Committed(P(0)), Groups.Committed(P(1))));
    }

    [Fact]
    public async Task By_key_processing_overtakes_a_slow_key_and_the_commit_waits_for_it()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "slow", "a", "b", "c");
        var mayEnd = new TaskCompletionSource();
        await using var processor = Start(async (record, _) =>
        {
            if (record.Value == "slow")
                await mayEnd.Task;
        }, Handling with { Parallelism = HandlingParallelism.Key }, Options() with { AutoCommitInterval = TimeSpan.FromMilliseconds(5) });
        await Wait.UntilAsync(() => processor.Statistics.Handled == 3, "the others");
        await processor.Consumer.CommitAsync().SoonAsync();
        Assert.Equal(0, Groups.Committed(P(0)) ?? 0);
        mayEnd.SetResult();
        await Wait.UntilAsync(() => Groups.Committed(P(0)) == 4, "the commit follows");
    }

    [Fact]
    public async Task By_key_processing_keeps_the_order_of_each_key()
    {
        Groups.FirstAssignment = [All(0)];
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 300; i++)
                await producer.EnqueueAsync(new(Topic, $"key {i % 7}", $"{i}") { Partition = 0 });
        }
        var handled = new ConcurrentDictionary<string, ConcurrentQueue<int>>();
        var running = 0;
        var most = 0;
        await using (var processor = Start(async (record, _) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            await Task.Yield();
            handled.GetOrAdd(record.Key, _ => new()).Enqueue(int.Parse(record.Value, System.Globalization.CultureInfo.InvariantCulture));
            Interlocked.Decrement(ref running);
        }, Handling with { Parallelism = HandlingParallelism.Key, MaxInFlightPerPartition = 3 }))
            await Wait.UntilAsync(() => processor.Statistics.Handled == 300, "all records");
        Assert.Equal(7, handled.Count);
        Assert.All(handled.Values, key => Assert.Equal(key.Order(), key));
        Assert.InRange(most, 1, 3);
        Assert.Equal(300, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Unordered_processing_handles_records_of_one_key_concurrently()
    {
        Groups.FirstAssignment = [All(0)];
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 4; i++)
                await producer.SendAsync(new(Topic, "one key", $"{i}") { Partition = 0 });
        }
        using var all = new CountdownEvent(4);
        await using var processor = Start((_, _) => new ValueTask(Task.Run(() => { all.Signal(); Assert.True(all.Wait(Wait.Deadline)); })),
            Handling with { Parallelism = HandlingParallelism.Unordered, MaxInFlightPerPartition = 4 });
        await Wait.UntilAsync(() => processor.Statistics.Handled == 4, "all at once");
    }

    [Fact]
    public async Task Transient_failure_is_retried()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var attempts = 0;
        var handled = new ConcurrentQueue<string>();
        await using var processor = Start((record, _) =>
        {
            if (record.Value == "a" && Interlocked.Increment(ref attempts) < 3)
                throw new TimeoutException("not yet");
            handled.Enqueue(record.Value);
            return default;
        });
        await Wait.UntilAsync(() => handled.Count == 2, "both records");
        Assert.Equal(["a", "b"], handled);
        Assert.Equal((2, 0), (processor.Statistics.Retries, processor.Statistics.DeadLettered));
    }

    [Fact]
    public async Task Record_that_an_earlier_attempt_has_done_is_handled()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var attempts = 0;
        await using (var processor = Start((record, _) =>
        {
            if (record.Value == "a")
                throw Interlocked.Increment(ref attempts) == 1 ? new TimeoutException("the outcome of the commit is unknown")
                    : new RecordAlreadyDoneException(record.TopicPartition, record.Offset);
            return default;
        }))
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 2, Retries: 1, DeadLettered: 0 }, "both records");
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Poison_record_is_dead_lettered_and_its_partition_continues()
    {
        Groups.FirstAssignment = [All(2)];
        await SendAsync(2, "good", "poison", "good too");
        await using (var processor = Start((record, _) => record.Value == "poison" ? throw new InvalidDataException("undrinkable")
            : default))
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 2, DeadLettered: 1 }, "all three");

        var letter = (await DeadLettersAsync(1))[0];
        Assert.Equal("key of poison", System.Text.Encoding.UTF8.GetString(letter.Key!));
        Assert.Equal("poison", System.Text.Encoding.UTF8.GetString(letter.Value!));
        var headers = letter.Headers.ToDictionary(header => header.Name(), header => header.TextValue());
        Assert.Equal((Topic, "2", "1", "billing", "3"),
            (headers[DeadLetterHeaders.Topic], headers[DeadLetterHeaders.Partition], headers[DeadLetterHeaders.Offset],
            headers[DeadLetterHeaders.Group], headers[DeadLetterHeaders.Attempts]));
        Assert.Equal(typeof(InvalidDataException).FullName, headers[DeadLetterHeaders.ExceptionType]);
        Assert.Equal("undrinkable", headers[DeadLetterHeaders.ExceptionMessage]);
        Assert.Contains(nameof(Poison_record_is_dead_lettered_and_its_partition_continues),
            headers[DeadLetterHeaders.ExceptionDetails], StringComparison.Ordinal);
        Assert.True(long.Parse(headers[DeadLetterHeaders.Timestamp]!, System.Globalization.CultureInfo.InvariantCulture) > 0);
        Assert.Equal(3, Groups.Committed(P(2)));
    }

    [Fact]
    public async Task Undeserializable_record_is_dead_lettered_with_its_bytes_and_headers()
    {
        Groups.FirstAssignment = [All(0)];
        await using (var producer = Client.CreateProducer<string, byte[]>())
        {
            await producer.SendAsync(new(Topic, "k", [1, 2, 3]) { Partition = 0, Headers = new[] { RecordHeaders.Text("trace", "77") } });
            await producer.SendAsync(new(Topic, "k", [0, 0, 0, 9]) { Partition = 0 });
        }
        var handled = new ConcurrentQueue<int>();
        await using (var processor = Client.CreateProcessor<string, int>(Options(), Handling,
            (record, _) => { handled.Enqueue(record.Value); return default; }))
        {
            processor.Start();
            await Wait.UntilAsync(() => handled.Count == 1, "the good one");
        }
        Assert.Equal([9], handled);
        var letter = (await DeadLettersAsync(1))[0];
        Assert.Equal([1, 2, 3], letter.Value!);
        var headers = letter.Headers.ToDictionary(header => header.Name(), header => header.TextValue());
        Assert.Equal(("77", "0", typeof(FormatException).FullName),
            (headers["trace"], headers[DeadLetterHeaders.Attempts], headers[DeadLetterHeaders.ExceptionType]));
    }

    [Fact]
    public async Task Failed_dead_letter_stops_the_partition_and_loses_nothing()
    {
        Groups.FirstAssignment = [All(0, 1)];
        await SendAsync(0, "good", "poison", "later");
        await SendAsync(1, "other");
        Broker.OnProduce = partition => partition.Topic == Topic
            ? null : ProduceResult.Failed(ErrorCode.InvalidRecord, "no dead letters today");
        var stopped = new TaskCompletionSource<Exception>();
        var handled = new ConcurrentQueue<string>();
        await using var processor = Start((record, _) =>
        {
            if (record.Value == "poison" && Broker.OnProduce is not null)
                throw new InvalidDataException("undrinkable");
            handled.Enqueue(record.Value);
            return default;
        }, Handling with { PartitionStopped = (_, reason) => stopped.TrySetResult(reason) });

        Assert.Contains("no dead letters today", (await stopped.Task.SoonAsync()).Message, StringComparison.Ordinal);
        await Wait.UntilAsync(() => handled.Count == 2, "the other partition goes on");
        Assert.Equal(["good", "other"], handled.Order());
        await processor.Consumer.CommitAsync().SoonAsync();
        Assert.Equal(1, Groups.Committed(P(0)));
        Assert.Equal([P(0)], processor.Stopped.Keys);

        Broker.OnProduce = null;
        processor.Resume(P(0));
        await Wait.UntilAsync(() => handled.Contains("later"), "it goes on with the record that stopped it");
        Assert.Equal(["good", "later", "other", "poison"], handled.Order());
    }

    [Fact]
    public async Task First_dead_letter_is_retried_until_its_topic_is_found_or_created()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "poison", "later");
        var calls = new ConcurrentQueue<string>();
        Broker.OnGetTopic = topic =>
        {
            if (topic == Topic)
                return;
            calls.Enqueue("look up");
            if (calls.Count <= 2)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, "a failover");
        };
        Broker.OnCreatedTopic = _ =>
        {
            calls.Enqueue("create");
            throw new BrokerException(ErrorCode.RequestTimedOut, "created, but the response is lost");
        };
        await using (var processor = Start((record, _) => record.Value == "poison" ? throw new InvalidDataException() : default,
            Handling with { DeadLetterProducer = new ProducerOptions { RetryBackoff = TimeSpan.FromMilliseconds(1) } }))
        {
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 1, DeadLettered: 1 } || !processor.Stopped.IsEmpty(), "both");
            Assert.Empty(processor.Stopped);
        }
        Assert.Equal(["look up", "look up", "look up", "create", "look up"], calls.Take(5));
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task First_dead_letter_is_retried_until_its_created_topic_serves()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "poison", "later");
        var lookUps = 0;
        var creations = 0;
        Broker.OnCreatedTopic = _ => Interlocked.Increment(ref creations);
        Broker.OnGetTopic = topic =>
        {
            if (topic != Topic && Interlocked.Increment(ref lookUps) <= 6)
                throw new BrokerException(ErrorCode.UnknownTopicOrPartition, "its creation is under way");
        };
        await using (var processor = Start((record, _) => record.Value == "poison" ? throw new InvalidDataException() : default,
            Handling with { DeadLetterProducer = new ProducerOptions { RetryBackoff = TimeSpan.FromMilliseconds(1) } }))
        {
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 1, DeadLettered: 1 } || !processor.Stopped.IsEmpty(), "both");
            Assert.Empty(processor.Stopped);
        }
        Assert.Equal(1, creations);
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Dead_letter_whose_topic_stays_unreachable_stops_the_partition()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "poison");
        Broker.OnGetTopic = topic =>
        {
            if (topic != Topic)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, "a long failover");
        };
        var options = new ProducerOptions { TimeProvider = Clock };
        await using var processor = Start((_, _) => throw new InvalidDataException(), Handling with { DeadLetterProducer = options });
        await Wait.UntilAsync(() =>
        {
            Clock.Advance(options.RetryBackoffMax);
            return !processor.Stopped.IsEmpty();
        }, "the stop");
        Assert.Contains("a long failover", processor.Stopped[P(0)].Message, StringComparison.Ordinal);
        await processor.Consumer.CommitAsync().SoonAsync();
        Assert.Equal(0, Groups.Committed(P(0)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Failing_callback_stops_only_its_partition(bool isTransienceCheck)
    {
        Groups.FirstAssignment = [All(0, 1)];
        await SendAsync(0, "poison", "later");
        await SendAsync(1, "other");
        var isCured = false;
        var handled = new ConcurrentQueue<string>();
        var handling = isTransienceCheck
            ? Handling with { Retry = Handling.Retry with { IsTransient = _ => throw new NotSupportedException("a faulty callback") } }
            : Handling with { OnFailure = FailureAction.StopPartition,
                PartitionStopped = (_, _) => throw new NotSupportedException("a faulty callback") };
        await using (var processor = Start((record, _) =>
        {
            if (record.Value == "poison" && !Volatile.Read(ref isCured))
                throw new InvalidDataException("undrinkable");
            handled.Enqueue(record.Value);
            return default;
        }, handling))
        {
            await Wait.UntilAsync(() => !processor.Stopped.IsEmpty() && handled.Contains("other"), "one stops, one goes on");
            Assert.Contains(isTransienceCheck ? "a faulty callback" : "undrinkable", processor.Stopped[P(0)].ToString(),
                StringComparison.Ordinal);
            Volatile.Write(ref isCured, true);
            processor.Resume(P(0));
            await Wait.UntilAsync(() => handled.Count == 3, "the rest");
        }
        Assert.Equal(["later", "other", "poison"], handled.Order());
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Failing_callback_for_an_offset_out_of_range_stops_only_its_partition(bool isDecision)
    {
        Groups.FirstAssignment = [All(0, 1)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b", "c");
        await Broker.DeleteRecordsAsync(P(0), 2);
        var handled = new ConcurrentQueue<string>();
        await using var processor = Start((record, _) => { handled.Enqueue(record.Value); return default; },
            Handling with { PartitionStopped = isDecision ? null : (_, _) => throw new NotSupportedException("a faulty callback") },
            Options() with { OutOfRange = isDecision ? _ => throw new NotSupportedException("a faulty callback") : null });
        await Wait.UntilAsync(() => !processor.Stopped.IsEmpty() || processor.Completion.IsCompleted, "the stop");
        await SendAsync(1, "other");
        await Wait.UntilAsync(() => handled.Count == 1 || processor.Completion.IsFaulted, "the other partition goes on");
        Assert.Equal(["other"], handled);
        Assert.Equal([P(0)], processor.Stopped.Keys);
    }

    [Fact]
    public async Task Failure_policy_stops_the_partition_or_skips_the_record()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "good", "poison", "later");
        var stopped = new TaskCompletionSource<TopicPartition>();
        ValueTask Handle(ConsumeResult<string, string> record, CancellationToken token) =>
            record.Value == "poison" ? throw new InvalidDataException() : default;
        await using (var processor = Start(Handle, Handling with { OnFailure = FailureAction.StopPartition,
            PartitionStopped = (partition, _) => stopped.TrySetResult(partition) }))
            Assert.Equal(P(0), await stopped.Task.SoonAsync());
        Assert.Equal(1, Groups.Committed(P(0)));
        await using (var processor = Start(Handle, Handling with { OnFailure = FailureAction.Skip }))
            await Wait.UntilAsync(() => processor.Statistics is { Handled: 1, Skipped: 1 }, "the rest");
        Assert.Equal(3, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Offset_out_of_range_stops_its_partition_alone()
    {
        Groups.FirstAssignment = [All(0, 1)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b", "c");
        await Broker.DeleteRecordsAsync(P(0), 2);
        await SendAsync(1, "other");
        var handled = new ConcurrentQueue<string>();
        await using var processor = Start((record, _) => { handled.Enqueue(record.Value); return default; });
        await Wait.UntilAsync(() => handled.Count == 1 && !processor.Stopped.IsEmpty(), "one goes on, one stops");
        Assert.IsType<OffsetOutOfRangeException>(processor.Stopped[P(0)]);
        processor.Consumer.Seek(P(0), ReadFrom.Offset(2));
        processor.Resume(P(0));
        await Wait.UntilAsync(() => handled.Contains("c"), "it goes on where it was sought");
    }

    [Fact]
    public async Task Out_of_range_decision_waits_for_records_in_flight()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        // Offsets 2 and 3 are deleted before they are fetched.
        Broker.OnFetch = async (request, token) => request.Offset == 2
            ? new FetchResult(ErrorCode.OffsetOutOfRange, 5, 5, 4, default) : await Test.Broker.FetchAsync(request, token);
        OffsetOutOfRangeException? asked = null;
        var mayEnd = new TaskCompletionSource();
        var handled = new ConcurrentQueue<string>();
        await using (var processor = Start(async (record, _) =>
        {
            if (record.Value == "a")
                await mayEnd.Task;
            handled.Enqueue(record.Value);
        }, consumer: Options() with { OutOfRange = e => { asked = e; return ReadFrom.Offset(e.LogStartOffset); } }))
        {
            await Wait.UntilAsync(() => SessionOf(processor, 0) is { IsHeld: true } || asked is not null, "the failed fetch");
            await SendAsync(0, "gone", "gone too", "e");
            await processor.Consumer.CommitAsync().SoonAsync();
            Assert.Null(asked);
            Assert.Equal(0, Groups.Committed(P(0)));
            mayEnd.SetResult();
            await Wait.UntilAsync(() => handled.Count == 3, "the record at the new position");
        }
        Assert.Equal(["a", "b", "e"], handled);
        Assert.Equal(2, asked?.Offset);
        Assert.Equal(5, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Unknown_partition_is_retried_after_the_records_in_flight()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var isUnknown = true;
        Broker.OnFetch = async (request, token) => request.Offset == 2 && Volatile.Read(ref isUnknown)
            ? new FetchResult(ErrorCode.UnknownTopicOrPartition, -1, -1, -1, default) : await Test.Broker.FetchAsync(request, token);
        var mayEnd = new TaskCompletionSource();
        var running = 0;
        var most = 0;
        await using (var processor = Start(async (record, _) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            if (record.Value == "a")
                await mayEnd.Task;
            Interlocked.Decrement(ref running);
        }))
        {
            await Wait.UntilAsync(() => SessionOf(processor, 0) is { IsHeld: true }, "the failed fetch");
            Volatile.Write(ref isUnknown, false);
            await SendAsync(0, "c");
            await processor.Consumer.CommitAsync().SoonAsync();
            Assert.Equal(0, Groups.Committed(P(0)));
            mayEnd.SetResult();
            await Wait.UntilAsync(() => processor.Statistics.Handled == 3, "all of them");
        }
        Assert.Equal(1, most);
        Assert.Equal(3, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Resumed_partition_continues_after_its_records_in_flight()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "slow", "poison", "last");
        var stopped = new TaskCompletionSource();
        var mayEnd = new TaskCompletionSource();
        var isCured = false;
        var slow = 0;
        var handled = new ConcurrentQueue<string>();
        await using (var processor = Start(async (record, _) =>
        {
            if (record.Value == "poison" && !Volatile.Read(ref isCured))
                throw new InvalidDataException("undrinkable");
            if (record.Value == "slow")
            {
                Interlocked.Increment(ref slow);
                await mayEnd.Task;
            }
            handled.Enqueue(record.Value);
        }, Handling with { Parallelism = HandlingParallelism.Key, OnFailure = FailureAction.StopPartition,
            PartitionStopped = (_, _) => stopped.TrySetResult() }))
        {
            await stopped.Task.SoonAsync();
            Volatile.Write(ref isCured, true);
            processor.Resume(P(0));
            mayEnd.SetResult();
            await Wait.UntilAsync(() => handled.Contains("poison") && handled.Contains("last"), "the others");
        }
        Assert.Equal(1, slow);
        Assert.Equal(3, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Sought_record_waits_for_the_record_in_flight()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b", "c");
        var started = new TaskCompletionSource();
        var mayEnd = new TaskCompletionSource();
        var running = 0;
        var most = 0;
        var handled = new ConcurrentQueue<string>();
        await using (var processor = Start(async (record, _) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref running));
            if (record.Value == "a")
            {
                started.SetResult();
                await mayEnd.Task;
            }
            handled.Enqueue(record.Value);
            Interlocked.Decrement(ref running);
        }))
        {
            await started.Task.SoonAsync();
            processor.Consumer.Seek(P(0), ReadFrom.Offset(2));
            await Wait.UntilAsync(() => SessionOf(processor, 0) is { HighWatermark: >= 0 }, "the records there");
            Assert.Equal(2, await processor.Consumer.GetPositionAsync(P(0)).SoonAsync());
            mayEnd.SetResult();
            await Wait.UntilAsync(() => handled.Count == 2, "both records");
        }
        Assert.Equal(["a", "c"], handled);
        Assert.Equal(1, most);
        Assert.Equal(3, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Revocation_finishes_running_records_drops_queued_ones_and_commits()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "first", "running", "waiting");
        var started = new TaskCompletionSource();
        var mayEnd = new TaskCompletionSource();
        var handled = new ConcurrentQueue<string>();
        var heard = new Heard();
        await using var processor = Start(async (record, _) =>
        {
            if (record.Value == "running")
            {
                started.SetResult();
                await mayEnd.Task;
            }
            handled.Enqueue(record.Value);
        }, consumer: Options(heard));
        await started.Task.SoonAsync();
        Groups.Assign(Groups.Members[0]);
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MemberEpoch == 2, "the member hears of it");
        Assert.DoesNotContain("revoked 0", heard.All);
        mayEnd.SetResult();
        await Wait.UntilAsync(() => Groups.Owned(Groups.Members[0]) is { Count: 0 }, "it is given up");
        Assert.Equal(["first", "running"], handled);
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Lost_partition_is_signalled_to_its_handler_and_not_committed()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "running");
        var started = new TaskCompletionSource();
        var cancelled = new TaskCompletionSource();
        Groups.OnHeartbeat = request => request.MemberEpoch == 0 && started.Task.IsCompleted ? ErrorCode.CoordinatorNotAvailable : null;
        await using var processor = Start(async (record, token) =>
        {
            started.TrySetResult();
            token.Register(() => cancelled.TrySetResult());
            await Task.Delay(Timeout.Infinite, token);
        });
        await started.Task.SoonAsync();
        Groups.ForgetMembers();
        await cancelled.Task.SoonAsync();
        await processor.StopAsync().SoonAsync();
        Assert.Equal(0, Groups.Committed(P(0)) ?? 0);
    }

    [Fact]
    public async Task Stop_drains_within_its_deadline_and_commits_processed_records()
    {
        Groups.FirstAssignment = [All(0, 1)];
        await SendAsync(0, "done");
        await SendAsync(1, "stuck");
        var stuck = new TaskCompletionSource();
        var processor = Start(async (record, token) =>
        {
            if (record.Value != "stuck")
                return;
            stuck.SetResult();
            await Task.Delay(Timeout.Infinite, token);
        });
        await stuck.Task.SoonAsync();
        await Wait.UntilAsync(() => processor.Statistics.Handled == 1, "the other");
        await processor.StopAsync(new CancellationToken(canceled: true)).SoonAsync();
        Assert.Equal((1, 0), (Groups.Committed(P(0)), Groups.Committed(P(1)) ?? 0));
        Assert.Empty(Groups.Members);
    }

    [Fact]
    public async Task Records_beyond_the_buffer_are_held_back_and_handled_later()
    {
        Groups.FirstAssignment = [All(0)];
        const int Count = 2000;
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < Count; i++)
                await producer.EnqueueAsync(new(Topic, null!, new string('x', 2000)) { Partition = 0 });
        }
        var mayBegin = new TaskCompletionSource();
        await using (var processor = Start(async (_, _) => await mayBegin.Task))
        {
            await Wait.UntilAsync(() => processor.Consumer.GetPositionAsync(P(0)) is { IsCompletedSuccessfully: true, Result: >= 200 },
                "the queue fills");
            Assert.InRange(await processor.Consumer.GetPositionAsync(P(0)), 200, 600);
            mayBegin.SetResult();
            await Wait.UntilAsync(() => processor.Statistics.Handled == Count, "all of it");
        }
        Assert.Equal(Count, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Partitions_that_fill_and_empty_repeatedly_never_stall()
    {
        const int Count = 60_000;
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < Count; i++)
                await producer.EnqueueAsync(new(Topic, null!, "x") { Partition = i % 4 });
        }
        await using (var processor = Start((_, _) => default))
            await Wait.UntilAsync(() => processor.Statistics.Handled == Count, "all of it");
    }

    private static void InterlockedMax(ref int most, int now)
    {
        int seen;
        while ((seen = Volatile.Read(ref most)) < now && Interlocked.CompareExchange(ref most, now, seen) != seen)
        {
        }
    }
}

internal static class DictionaryExtensions
{
    public static bool IsEmpty<TKey, TValue>(this IReadOnlyDictionary<TKey, TValue> dictionary) => dictionary.Count == 0;
}
