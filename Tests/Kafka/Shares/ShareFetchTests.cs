using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Records;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using static OrleansMq.Tests.Kafka.Shares.ShareWire;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>ShareFetch and ShareAcknowledge over connections, after what Kafka's own request tests state.</summary>
public sealed class ShareFetchTests : IAsyncLifetime
{
    // How long a fetch waits that is to bring nothing.
    private const int Short = 200;
    private const int InvalidRequest = 42, UnknownTopicId = 100, InvalidRecordState = 121, NoSession = 122, WrongEpoch = 123;

    private static readonly (string, string)[] Earliest = [("share.auto.offset.reset", "earliest")];

    private KafkaServer _server = null!;
    private ShareWire _member = null!;

    public Task InitializeAsync() => StartAsync(TimeProvider.System);

    private async Task StartAsync(TimeProvider time)
    {
        _server = await KafkaServer.StartAsync(time: time);
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        _member = await ShareWire.OpenAsync(_server);
    }

    public async Task DisposeAsync()
    {
        _member.Dispose();
        await _server.DisposeAsync();
    }

    private async Task ConfigureAsync(params (string Name, string Value)[] configs) => Assert.Equal(default,
        await _server.Broker.Groups.SendAsync(new AlterShareGroup("g")
        {
            Configs = [.. configs.Select(static config => new ShareGroupSetting(config.Name, config.Value))],
        }));

    private async Task ProduceAsync(int records, int partition = 0)
    {
        var produced = await _server.Broker.ProduceAsync(new TopicPartition("orders", partition),
            TestBatches.Of([.. Enumerable.Range(0, records).Select(static number => $"{number}")]), Acks.All);
        Assert.Equal(ErrorCode.None, produced.Error);
    }

    /// <summary>Opens the member's session over records that are there.</summary>
    private async Task<string> BeginAsync(int records, params (string Name, string Value)[] configs)
    {
        await ConfigureAsync([.. Earliest, .. configs]);
        await ProduceAsync(records);
        await _member.JoinAsync();
        return await _member.FetchAsync(0);
    }

    [Fact]
    public async Task Session_is_opened_continued_and_closed_by_its_epochs()
    {
        Assert.Equal(NoSession, Error(await _member.FetchAsync(1)));
        Assert.Equal(NoSession, Error(await _member.AcknowledgeAsync(1, Ack(0, 0, Accept))));
        Assert.Equal(InvalidRequest, Error(await _member.FetchAsync(0, [Ack(0, 0, Accept)])));
        Assert.Equal(0, Error(await BeginAsync(1)));
        Assert.Equal(WrongEpoch, Error(await _member.FetchAsync(2)));
        Assert.Equal(WrongEpoch, Error(await _member.AcknowledgeAsync(0, Ack(0, 0, Accept))));
        Assert.Equal(0, Error(await _member.AcknowledgeAsync(1, Ack(0, 0, Accept))));
        Assert.Equal(0, Error(await _member.FetchAsync(-1)));
        Assert.Equal(NoSession, Error(await _member.FetchAsync(2)));
    }

    [Fact]
    public async Task Fetch_of_a_megabyte_acquires_as_many_small_records_as_it_asks_for()
    {
        var begun = Acquired(await BeginAsync(10));
        Assert.Equal([(0, 9, 1)], begun);
        for (var batch = 0; batch < 6; batch++)
            await ProduceAsync(100);
        var answer = await _member.FetchAsync(1, [Ack(0, 9, Accept)], maxRecords: 500);
        Assert.Equal(500, Acquired(answer).Sum(static run => run.Last - run.First + 1));
    }

    [Fact]
    public async Task Rejected_and_often_released_records_go_to_the_dead_letter_topic_once()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("letters"));
        Assert.Equal([(0, 9, 1)], Acquired(await BeginAsync(10, ("share.dead.letter.topic", "letters"),
            ("share.delivery.count.limit", "2"))));
        var answer = await _member.FetchAsync(1,
            [new WireAck(0, (0, 3, [Accept]), (4, 9, [Reject, Release, Gap, Accept, Reject, Accept]))]);
        Assert.Equal([0], Of("AcknowledgeErrorCode", answer));
        Assert.Equal([(5, 5, 2)], Acquired(answer));
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(2, Ack(5, 5, Release))));
        var letters = new TopicPartition("letters", 0);
        var (seen, next) = (new List<string>(), 0L);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (seen.Count < 3)
        {
            using var fetched = await _server.Broker.FetchAsync(new FetchRequest(letters, next) { MaxWait = TimeSpan.FromSeconds(1) },
                patience.Token);
            using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
            while (reader.MoveNext())
            {
                next = reader.Current.Offset + 1;
                seen.Add(TextOf(reader.Current));
            }
        }
        Assert.Equal(["4 of g: rejected, 1", "5 of g: failed, 2", "8 of g: rejected, 1"], seen.Order(StringComparer.Ordinal));
        QueueDescription? cursor;
        // The cursor learns of a letter's end after the letter is there.
        while ((cursor = await _server.Broker.Queues.DescribeShareAsync(new TopicPartition("orders", 0), "g", patience.Token))
            is not { DeadLettered: 3 })
            await Task.Delay(1, patience.Token);
        Assert.Equal((0L, 7L, "letters"), (cursor.Unsettled, cursor.Accepted, cursor.Options.DeadLetterTopic));
        Assert.Equal(3, (await _server.Broker.FindOffsetAsync(letters, OffsetSpec.Latest)).Offset);

        static string TextOf(OrleansMq.Records.Record record)
        {
            var headers = record.ReadHeaders().ToDictionary(static header => header.Name(), static header => header.TextValue());
            return $"{headers["omq.dead-letter.offset"]} of {headers["omq.dead-letter.group"]}: {headers["omq.dead-letter.cause"]}, "
                + headers["omq.dead-letter.attempts"];
        }
    }

    [Fact]
    public async Task Group_whose_dead_letter_topic_is_missing_is_delivered_nothing()
    {
        await ConfigureAsync([.. Earliest, ("share.dead.letter.topic", "letters")]);
        await ProduceAsync(2);
        await _member.JoinAsync();
        Assert.Empty(Acquired(await _member.FetchAsync(0, maxWait: Short)));
        await _server.Broker.CreateTopicAsync(new NewTopic("letters"));
        Assert.Equal([(0, 1, 1)], Acquired(await _member.FetchAsync(1)));
    }

    [Fact]
    public async Task Acknowledged_records_never_come_again_and_released_ones_do()
    {
        Assert.Equal([(0, 9, 1)], Acquired(await BeginAsync(10)));
        var answer = await _member.FetchAsync(1,
            [new WireAck(0, (0, 3, [Accept]), (4, 9, [Release, Release, Reject, Gap, Accept, Release]))]);
        Assert.Equal([0], Of("AcknowledgeErrorCode", answer));
        Assert.Equal([(4, 5, 2), (9, 9, 2)], Acquired(answer));
        answer = await _member.AcknowledgeAsync(2, new WireAck(0, (4, 5, [Accept]), (9, 9, [Accept])));
        Assert.Equal([0, 0], Of("ErrorCode", answer));
        Assert.Empty(Acquired(await _member.FetchAsync(3, maxWait: Short)));
        // What is below the cursor's floor is settled, whoever says so.
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(4, Ack(0, 9, Accept))));
    }

    [Fact]
    public async Task Acknowledgements_of_a_partition_are_taken_as_a_whole_or_refused()
    {
        Assert.Equal([(0, 4, 1)], Acquired(await BeginAsync(5)));
        Assert.Equal([0, InvalidRecordState], Of("ErrorCode", await _member.AcknowledgeAsync(1,
            new WireAck(0, (0, 0, [Accept]), (4, 5, [Accept])))));
        await _member.FetchAsync(-1);
        Assert.Equal([(0, 4, 2)], Acquired(await _member.FetchAsync(0)));
    }

    [Fact]
    public async Task Malformed_acknowledgements_are_refused()
    {
        await BeginAsync(5);
        var epoch = 1;
        foreach (var ack in new[] { Ack(2, 1, Accept), Ack(-1, 1, Accept), Ack(0, 1), Ack(0, 2, Accept, Accept), Ack(0, 0, 5),
            Ack(0, 0, -1), new WireAck(0, (1, 2, [Accept]), (2, 3, [Accept])), Ack(0, long.MaxValue, Accept) })
            Assert.Equal([0, InvalidRequest], Of("ErrorCode", await _member.AcknowledgeAsync(epoch++, ack)));
        _member.Version = 1;
        Assert.Equal([0, InvalidRequest], Of("ErrorCode", await _member.AcknowledgeAsync(epoch++, Ack(0, 4, Renew))));
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(epoch, Ack(0, 4, Accept))));
    }

    [Fact]
    public async Task Lock_ends_unless_it_is_renewed()
    {
        await DisposeAsync();
        var time = new ManualTimeProvider();
        await StartAsync(time);
        Assert.Equal([(0, 1, 1)], Acquired(await BeginAsync(2, ("share.record.lock.duration.ms", "2000"))));
        using var other = await ShareWire.OpenAsync(_server, "other");
        time.Advance(TimeSpan.FromMilliseconds(1_200));
        Assert.Empty(Acquired(await other.FetchAsync(0, maxWait: Short)));
        var renewed = await _member.AcknowledgeAsync(1, Ack(1, 1, Renew));
        Assert.Equal([0, 0], Of("ErrorCode", renewed));
        // A client renews by what the answer says.
        Assert.Equal([2_000], Of("AcquisitionLockTimeoutMs", renewed));
        var waiting = other.FetchAsync(1);
        // It waits when the locks end. A fetch that comes later finds the same.
        await Task.Delay(Short);
        // The first record's lock ended 100 ms ago; that of the second ends in 1.1 s.
        time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.Equal([(0, 0, 2)], Acquired(await waiting));
        Assert.Equal([0, InvalidRecordState], Of("ErrorCode", await _member.AcknowledgeAsync(2, Ack(0, 0, Accept))));
        Assert.Equal([0, 0], Of("ErrorCode", await other.AcknowledgeAsync(2, Ack(0, 0, Accept))));
        time.Advance(TimeSpan.FromMilliseconds(1_200));
        Assert.Equal([(1, 1, 2)], Acquired(await other.FetchAsync(3)));
    }

    [Fact]
    public async Task Renewal_is_refused_where_the_group_forbids_it_and_fetches_nothing()
    {
        await BeginAsync(2, ("share.renew.acknowledge.enable", "false"));
        Assert.Equal([0, InvalidRequest], Of("ErrorCode", await _member.AcknowledgeAsync(1, Ack(0, 1, Renew))));
        Assert.Equal(InvalidRequest, Error(await _member.FetchAsync(2, [Ack(0, 1, Renew)], isRenewal: true)));
        var answer = await _member.FetchAsync(2, [Ack(0, 1, Accept)], maxRecords: 0, maxBytes: 0, maxWait: 0, isRenewal: true);
        Assert.Equal((0, 0), (Error(answer), Of("AcknowledgeErrorCode", answer).Single()));
    }

    [Fact]
    public async Task Records_of_a_connection_that_ends_are_delivered_to_others()
    {
        Assert.Equal([(0, 2, 1)], Acquired(await BeginAsync(3)));
        using var other = await ShareWire.OpenAsync(_server, "other");
        Assert.Empty(Acquired(await other.FetchAsync(0, maxWait: Short)));
        _member.Dispose();
        Assert.Equal([(0, 2, 2)], Acquired(await other.FetchAsync(1)));
    }

    [Fact]
    public async Task Records_of_a_forgotten_partition_are_still_acknowledged()
    {
        Assert.Equal([(0, 2, 1)], Acquired(await BeginAsync(3)));
        Assert.Empty(Acquired(await _member.FetchAsync(1, maxWait: Short, forgotten: [0])));
        using var other = await ShareWire.OpenAsync(_server, "other");
        Assert.Empty(Acquired(await other.FetchAsync(0, maxWait: Short)));
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(2, Ack(0, 1, Accept))));
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(3, Ack(2, 2, Release))));
        Assert.Equal([(2, 2, 2)], Acquired(await other.FetchAsync(1)));
        Assert.Empty(Acquired(await _member.FetchAsync(4, acks: [], maxWait: Short)));
    }

    [Fact]
    public async Task Fetch_takes_no_more_than_it_asks_for()
    {
        await ConfigureAsync(Earliest);
        await ProduceAsync(10);
        await _member.JoinAsync();
        Assert.Empty(Acquired(await _member.FetchAsync(0, maxRecords: 0, maxWait: Short)));
        Assert.Empty(Acquired(await _member.FetchAsync(1, maxBytes: 0, maxWait: Short)));
        Assert.Equal([(0, 3, 1)], Acquired(await _member.FetchAsync(2, maxRecords: 4, isStrict: true)));
        // Not strictly, the rest of the batch comes along.
        Assert.Equal([(4, 9, 1)], Acquired(await _member.FetchAsync(3, maxRecords: 1)));
    }

    [Fact]
    public async Task Changed_configuration_reaches_members_that_fetch()
    {
        Assert.Equal([(0, 1, 1)], Acquired(await BeginAsync(2)));
        await _server.Broker.CreateTopicAsync(new NewTopic("letters"));
        await ConfigureAsync(("share.dead.letter.topic", "letters"), ("share.record.lock.duration.ms", "40000"));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var epoch = 1;
        while (Of("AcquisitionLockTimeoutMs", await _member.FetchAsync(epoch++, maxWait: Short)) is not [40_000])
            await Task.Delay(100, patience.Token);
        Assert.Equal([0, 0], Of("ErrorCode", await _member.AcknowledgeAsync(epoch, Ack(0, 0, Reject))));
        var letters = new TopicPartition("letters", 0);
        while ((await _server.Broker.FindOffsetAsync(letters, OffsetSpec.Latest)).Offset != 1)
            await Task.Delay(10, patience.Token);
    }

    [Fact]
    public async Task Invented_partitions_take_a_small_part_of_the_room_for_sessions()
    {
        _member.TopicId = Guid.NewGuid();
        WireAck[] invented = [.. Enumerable.Range(0, 1_100).Select(static partition => new WireAck(partition))];
        var answer = await _member.FetchAsync(0, invented, maxRecords: 0);
        Assert.Equal(0, Error(answer));
        Assert.Equal(100, Of("ErrorCode", answer).Count(static error => error == UnknownTopicId));
    }

    [Fact]
    public async Task Fetch_whose_acknowledgement_is_refused_takes_no_more_than_it_asks_for()
    {
        await ConfigureAsync(Earliest);
        await ProduceAsync(3);
        await _member.JoinAsync();
        Assert.Equal([(0, 0, 1)], Acquired(await _member.FetchAsync(0, maxRecords: 1, isStrict: true)));
        var answer = await _member.FetchAsync(1, [Ack(1, 1, Accept)], maxRecords: 1, isStrict: true);
        Assert.Equal([InvalidRecordState], Of("AcknowledgeErrorCode", answer));
        Assert.Equal([(1, 1, 1)], Acquired(answer));
    }

    [Fact]
    public async Task Record_above_the_limit_of_deliveries_is_left_out()
    {
        Assert.Equal([(0, 0, 1)], Acquired(await BeginAsync(1, ("share.delivery.count.limit", "2"))));
        Assert.Equal([(0, 0, 2)], Acquired(await _member.FetchAsync(1, [Ack(0, 0, Release)])));
        Assert.Empty(Acquired(await _member.FetchAsync(2, [Ack(0, 0, Release)], maxWait: Short)));
    }

    [Fact]
    public async Task Records_after_a_join_are_delivered_although_the_group_begins_at_the_end()
    {
        await ProduceAsync(3);
        await _member.JoinAsync();
        await ProduceAsync(2);
        Assert.Equal([(3, 4, 1)], Acquired(await _member.FetchAsync(0)));
    }

    [Fact]
    public async Task Unknown_topics_are_named_in_fetches_and_acknowledgements()
    {
        await BeginAsync(1);
        _member.TopicId = Guid.NewGuid();
        Assert.Equal([0, UnknownTopicId], Of("ErrorCode", await _member.AcknowledgeAsync(1, Ack(0, 0, Accept))));
        Assert.Contains(UnknownTopicId, (IEnumerable<int>)Of("ErrorCode", await _member.FetchAsync(2)));
    }

    [Fact]
    public async Task Group_without_members_is_moved_and_its_cursors_end_with_it()
    {
        await BeginAsync(5);
        await _member.FetchAsync(-1, [Ack(0, 4, Accept)]);
        Assert.Equal(0, (await DescribeAsync())!.Unsettled);
        var topic = _member.TopicId;
        var move = new AlterShareGroup("g") { Moves = [new ShareCursorMove(topic, 0, 3)] };
        Assert.Equal(ErrorCode.NonEmptyGroup, (await _server.Broker.Groups.SendAsync(move)).Error);
        await _member.LeaveAsync();
        Assert.Equal(ErrorCode.None, (await _server.Broker.Groups.SendAsync(move)).Error);
        var cleaner = new OrleansMq.Shares.ShareCursorCleaner(_server.Broker, _server.Broker.Groups);
        // The cursor of before the move; the next member begins another.
        Assert.Equal(1, await cleaner.RunAsync());
        await _member.JoinAsync();
        Assert.Equal([(3, 4, 1)], Acquired(await _member.FetchAsync(0)));
        Assert.Equal(0, await cleaner.RunAsync());
        await _member.FetchAsync(-1, []);
        await _member.LeaveAsync();
        await _server.Broker.Groups.DeleteGroupAsync("g");
        Assert.NotNull(await DescribeAsync());
        Assert.Equal(1, await cleaner.RunAsync());
        Assert.Null(await DescribeAsync());
    }

    private ValueTask<QueueDescription?> DescribeAsync() => _server.Broker.Queues.DescribeShareAsync(new TopicPartition("orders", 0), "g");
}
