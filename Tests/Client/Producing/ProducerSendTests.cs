using System.Text;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerSendTests : ProducerFixture
{
    [Fact]
    public async Task Record_arrives_and_its_report_gives_the_offset()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record("first"));

        var report = await producer.SendAsync(Record("second", key: "k") with { Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(42) })
            .SoonAsync();

        Assert.Equal(new DeliveryReport(new TopicPartition(Topic, 0), 1, 42), report);
        Assert.Equal([new(0, null, "first"), new LoggedRecord(1, "k", "second")], Broker.Log(Topic));
    }

    [Fact]
    public async Task Null_key_tombstone_and_header_order_are_preserved()
    {
        await using var producer = NewProducer();
        RecordHeader[] headers = [RecordHeaders.Text("a", "1"), RecordHeaders.Text("b", null), RecordHeaders.Text("a", "")];

        await producer.SendAsync(new ProducerRecord<string?, string?>(Topic, "", null) { Headers = headers }).SoonAsync();

        Assert.Equal(new LoggedRecord(0, "", null), Assert.Single(Broker.Log(Topic)));
        var fetched = await Broker.FetchAsync(new(new(Topic, 0), 0));
        using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal(["a=1", "b=", "a="], reader.Current.ReadHeaders().Select(header => $"{header.Name()}={header.TextValue()}"));
        Assert.Null(reader.Current.ReadHeaders()[1].Value);
    }

    [Fact]
    public async Task Batch_needs_a_flush_if_one_of_its_records_does()
    {
        var levels = new List<Acks>();
        Broker.OnProduce = call =>
        {
            levels.Add(call.Acks);
            return Reaction.Normal;
        };
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromSeconds(10) });
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        foreach (var batch in (bool[][])[[false, false], [false, true], [true, false], [true]])
        {
            foreach (var isPersistent in batch)
                producer.Send(Record("r") with { IsPersistent = isPersistent });
            await producer.FlushAsync().SoonAsync();
        }
        Assert.Equal([Acks.All, Acks.Replicated, Acks.All, Acks.All, Acks.All], levels);
        Assert.True(default(ProducerRecord<string?, string?>).IsPersistent);
    }

    [Fact]
    public async Task Record_that_need_not_survive_a_power_cut_says_so_behind_its_other_headers()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record("r") with
        {
            IsPersistent = false,
            MessageId = "7",
            Headers = (RecordHeader[])[RecordHeaders.Text("a", "1")],
        }).SoonAsync();
        using var fetched = await Broker.FetchAsync(new(new(Topic, 0), 0));
        using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal(["a=1", "omq.message-id=7", "omq.persistent=false"],
            reader.Current.ReadHeaders().Select(header => $"{header.Name()}={header.TextValue()}"));
    }

    [Theory]
    [InlineData(Acks.Leader, Acks.Leader)]
    [InlineData(Acks.Replicated, Acks.Replicated)]
    public async Task Producers_own_level_wins_over_what_a_record_needs(Acks acks, Acks sent)
    {
        Acks? level = null;
        Broker.OnProduce = call =>
        {
            level = call.Acks;
            return Reaction.Normal;
        };
        await using var producer = NewProducer(Quick with { Acks = acks });
        await producer.SendAsync(Record("r") with { IsPersistent = acks == Acks.Replicated }).SoonAsync();
        Assert.Equal(sent, level);
        Assert.Equal(acks == Acks.Replicated ? 1 : 0, Broker.ProducerIdsGiven);
    }

    [Fact]
    public async Task Single_awaited_send_does_not_linger_and_arms_only_the_deadline_timer()
    {
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromSeconds(10) });

        await producer.SendAsync(Record("now")).SoonAsync();

        Assert.Equal(Still.DeliveryTimeout, Assert.Single(Clock.ArmedTimers));
    }

    [Fact]
    public async Task Records_sent_without_await_linger_and_leave_as_one_batch()
    {
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromSeconds(10) });
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        var before = Broker.Calls;

        producer.Send(Record(1));
        producer.Send(Record(2));
        await Wait.UntilAsync(() => Clock.ArmedTimers.Contains(TimeSpan.FromSeconds(10)), "the linger timer");
        Clock.Advance(TimeSpan.FromSeconds(9.999));
        Assert.Equal(before, Broker.Calls);
        Clock.Advance(TimeSpan.FromSeconds(0.001));
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(before + 1, Broker.Calls);
        Assert.Equal(["1", "2"], Broker.Values(Topic).Skip(1));
    }

    [Fact]
    public async Task Awaited_record_takes_lingering_records_with_it()
    {
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromSeconds(10) });
        await producer.SendAsync(Record("to know the topic")).SoonAsync();

        producer.Send(Record(1));
        var report = await producer.SendAsync(Record(2)).SoonAsync();

        Assert.Equal(2, report.Offset);
        Assert.Equal(2, Broker.LogOf(new(Topic, 0)).Batches[^1].RecordCount);
    }

    [Fact]
    public async Task Records_sent_during_a_request_gather_in_the_next_batch()
    {
        var gate = NewGate();
        await using var producer = NewProducer(Still);
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };

        var first = producer.SendAsync(Record(0)).AsTask();
        await Wait.UntilAsync(() => Broker.Calls == 2, "the batch in flight");
        Task<DeliveryReport>[] reports = [first, .. Enumerable.Range(1, 99).Select(i => producer.SendAsync(Record(i)).AsTask())];
        gate.SetResult();
        await Task.WhenAll(reports).SoonAsync();

        Assert.Equal(3, Broker.Calls);
        Assert.Equal(Numbers(0, 100), Broker.Values(Topic).Skip(1));
        Assert.Equal(Enumerable.Range(1, 100).Select(i => (long)i), reports.Select(report => report.Result.Offset));
    }

    [Theory]
    [InlineData(5, 5)]
    [InlineData(2, 2)]
    public async Task Full_batches_are_in_flight_concurrently_up_to_the_limit(int maxInFlight, int expected)
    {
        var gate = NewGate();
        await using var producer = NewProducer(Still with { BatchSize = 1024, MaxInFlight = maxInFlight });
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };

        var text = new string('x', 600);
        for (var i = 0; i < 20; i++)
            producer.Send(Record(text));
        await Wait.UntilAsync(() => Broker.Calls == 1 + expected, "all batches that may be in flight");
        gate.SetResult();
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(expected, Broker.LogOf(new(Topic, 0)).MaxInFlight);
        Assert.Equal(21, Broker.Log(Topic).Count);
    }

    [Fact]
    public async Task First_batch_is_sent_alone_since_a_broker_accepts_any_first_sequence()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer(Still with { BatchSize = 1024 });

        var text = new string('x', 600);
        for (var i = 0; i < 20; i++)
            producer.Send(Record(text));
        await Wait.UntilAsync(() => Broker.Calls == 1, "the first batch");
        gate.SetResult();
        await producer.FlushAsync().SoonAsync();

        var first = Broker.LogOf(new(Topic, 0)).Batches[0];
        Assert.Equal(0, first.BaseSequence);
        Assert.Equal(20, Broker.Log(Topic).Count);
    }

    [Fact]
    public async Task Callbacks_run_in_send_order_with_their_offsets()
    {
        await using var producer = NewProducer(Quick with { BatchSize = 1024 });
        var offsets = new List<long>();

        for (var i = 0; i < 5000; i++)
            producer.Send(Record(i), report => offsets.Add(report.Offset));
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(Enumerable.Range(0, 5000).Select(i => (long)i), offsets);
        Assert.Equal(Numbers(0, 5000), Broker.Values(Topic));
    }

    [Fact]
    public async Task Callback_that_throws_affects_no_other_record()
    {
        await using var producer = NewProducer();

        producer.Send(Record(1), _ => throw new InvalidOperationException("user code"));

        Assert.Equal(1, (await producer.SendAsync(Record(2)).SoonAsync()).Offset);
    }

    [Fact]
    public async Task Callback_may_send()
    {
        await using var producer = NewProducer();
        var second = new TaskCompletionSource<DeliveryReport>(TaskCreationOptions.RunContinuationsAsynchronously);

        producer.Send(Record(1), _ => producer.Send(Record(2), second.SetResult));

        Assert.Equal(1, (await second.Task.SoonAsync()).Offset);
    }

    [Fact]
    public async Task Records_sent_before_metadata_arrives_keep_their_order()
    {
        var gate = NewGate();
        Broker.OnGetTopic = _ => gate.Task;
        await using var producer = NewProducer();

        var reports = Enumerable.Range(0, 50).Select(i => producer.SendAsync(Record(i)).AsTask()).ToArray();
        gate.SetResult();
        await Task.WhenAll(reports).SoonAsync();

        Assert.Equal(Numbers(0, 50), Broker.Values(Topic));
    }

    [Theory]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    public async Task Batches_are_compressed(CompressionType compression)
    {
        await using var producer = NewProducer(Quick with { Compression = compression, Codecs = StandardCodecs.All });

        await producer.SendAsync(Record(new string('a', 10_000))).SoonAsync();

        var batch = Assert.Single(Broker.LogOf(new(Topic, 0)).Batches);
        Assert.Equal(compression, batch.Compression);
        Assert.True(batch.SizeInBytes < 2000);
        Assert.Equal(10_000, Broker.Log(Topic)[0].Value!.Length);
    }

    [Fact]
    public async Task Oversized_record_is_refused_and_others_continue()
    {
        await using var producer = NewProducer(Quick with { MaxRequestSize = 2000 });

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(new string('x', 3000), key: "big"))
            .AsTask());
        Assert.Throws<ProduceException>(() => producer.Send(Record(new string('x', 3000))));

        Assert.Equal((ErrorCode.MessageTooLarge, ErrorAction.Abort, false), (error.Code, error.Action, error.MayBeWritten));
        Assert.Equal("big", Encoding.UTF8.GetString(error.Key!.Value.Span));
        Assert.Contains("MaxRequestSize", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, (await producer.SendAsync(Record(1)).SoonAsync()).Offset);
    }

    [Fact]
    public async Task Record_larger_than_a_batch_has_its_own_batch()
    {
        await using var producer = NewProducer(Quick with { BatchSize = 1024 });

        await producer.SendAsync(Record(new string('x', 500_000))).SoonAsync();

        Assert.Equal(500_000, Broker.Log(Topic)[0].Value!.Length);
    }

    [Fact]
    public async Task Serializer_that_throws_refuses_only_its_record()
    {
        await using var producer = new Producer<string?, string?>(Broker, values: new Grumpy());

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record("bad")).AsTask());

        Assert.Equal((ErrorCode.InvalidRecord, ErrorAction.Abort), (error.Code, error.Action));
        Assert.IsType<FormatException>(error.InnerException);
        Assert.Equal(0, (await producer.SendAsync(Record("good")).SoonAsync()).Offset);
    }

    [Fact]
    public async Task Unknown_topic_fails_records_of_every_send_method()
    {
        await using var producer = NewProducer();
        var failed = new TaskCompletionSource<ProduceException>(TaskCreationOptions.RunContinuationsAsynchronously);
        var called = new TaskCompletionSource<DeliveryReport>(TaskCreationOptions.RunContinuationsAsynchronously);
        producer.DeliveryFailed += failed.SetResult;
        var record = new ProducerRecord<string?, string?>("nowhere", "key", "value");

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(record).SoonAsync());
        producer.Send(record);
        producer.Send(record, called.SetResult);

        Assert.Equal((ErrorCode.UnknownTopicOrPartition, ErrorAction.Abort, false), (error.Code, error.Action, error.MayBeWritten));
        Assert.Equal("key", Encoding.UTF8.GetString((await failed.Task.SoonAsync()).Key!.Value.Span));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await called.Task.SoonAsync()).Error!.Code);
        await producer.FlushAsync().SoonAsync();
        Assert.Equal(3, producer.Statistics.RecordsFailed);
        Assert.Equal(0, producer.Statistics.BufferedBytes);
    }

    [Fact]
    public void Contradictory_options_are_refused_by_name()
    {
        var error =
            Assert.Throws<ArgumentException>(() =>
                NewProducer(new ProducerOptions { Acks = Acks.Leader, EnableIdempotence = true }));

        Assert.Contains("EnableIdempotence", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => NewProducer(new ProducerOptions { MaxInFlight = 6 }));
        Assert.Throws<ArgumentException>(() => NewProducer(new ProducerOptions { BufferMemory = 10 }));
        Assert.Throws<InvalidOperationException>(() => new Producer<string, DateTime>(Broker));
    }

    private sealed class Grumpy : ISerializer<string?>
    {
        public void Serialize(string? value, System.Buffers.IBufferWriter<byte> destination)
        {
            if (value == "bad")
                throw new FormatException("not this one");
            Serdes.String.Serialize(value, destination);
        }
    }
}
