using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Brokers;
using OrleansMq.Partitions;

namespace OrleansMq.Tests.Cluster.Brokers;

/// <summary>How the broker over grains handles their answers, with scripted grains and a manual clock.</summary>
public sealed class GrainBrokerTests
{
    private static readonly Guid OldId = Guid.Parse("00000000-0000-0000-0000-00000000000a");
    private static readonly Guid NewId = Guid.Parse("00000000-0000-0000-0000-00000000000b");
    private static readonly TopicPartition Orders = new("orders", 0);

    private readonly ManualTime _time = new();
    private readonly IGrainFactory _grains;
    private readonly ScriptedGrains _script;
    private readonly GrainBroker _broker;

    public GrainBrokerTests()
    {
        (_grains, _script) = ScriptedGrains.Create();
        _broker = new GrainBroker(_grains, options: new GrainBrokerOptions { TimeProvider = _time });
        _script.Topics["orders"] = new TopicListing("orders", OldId, 1);
    }

    [Fact]
    public async Task Long_poll_is_split_into_calls_shorter_than_the_response_timeout()
    {
        var waits = new List<double>();
        _script.Read = (_, read) =>
        {
            waits.Add(read.MaxWait.TotalSeconds);
            _time.Advance(read.MaxWait);
            return Task.FromResult(Empty());
        };
        using var result = await _broker.FetchAsync(new FetchRequest(Orders, 5, MaxWait: TimeSpan.FromSeconds(25)));
        Assert.Equal([5, 5, 5, 5, 5], waits);
        Assert.Equal((ErrorCode.None, 0), (result.Error, result.Records.Length));
    }

    [Fact]
    public async Task Long_poll_for_more_bytes_continues_until_they_arrive()
    {
        var sizes = new Queue<int>([0, 10, 70]);
        _script.Read = (_, read) =>
        {
            _time.Advance(TimeSpan.FromSeconds(3));
            return Task.FromResult(new FetchResult(ErrorCode.None, 9, 9, 0, new byte[sizes.Dequeue()]));
        };
        using var result = await _broker.FetchAsync(new FetchRequest(Orders, 5, MaxWait: TimeSpan.FromMinutes(1), MinBytes: 64));
        Assert.Equal(70, result.Records.Length);
    }

    [Fact]
    public async Task Read_without_wait_is_one_call()
    {
        var calls = 0;
        _script.Read = (_, read) =>
        {
            calls++;
            Assert.Equal(TimeSpan.Zero, read.MaxWait);
            return Task.FromResult(Empty());
        };
        using var result = await _broker.FetchAsync(new FetchRequest(Orders, 5));
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task Current_topic_is_asked_for_behind_each_call_and_many_calls_at_once_share_a_question()
    {
        var answered = new TaskCompletionSource();
        var isAsked = new TaskCompletionSource();
        _script.Looks = () =>
        {
            isAsked.TrySetResult();
            return answered.Task;
        };
        var first = _broker.GetCurrentTopicAsync("orders").AsTask();
        // What it will be answered is known by then.
        await isAsked.Task.WaitAsync(Wait.Deadline);
        _script.Topics["orders"] = new TopicListing("orders", NewId, 1);
        var later = Enumerable.Range(0, 100).Select(_ => _broker.GetCurrentTopicAsync("orders").AsTask()).ToList();
        Assert.Equal(1, _script.Lookups);
        answered.SetResult();
        Assert.Equal(OldId, (await first).TopicId);
        Assert.All(await Task.WhenAll(later), topic => Assert.Equal(NewId, topic.TopicId));
        Assert.Equal(2, _script.Lookups);
        _script.Topics.Remove("orders");
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _broker.GetCurrentTopicAsync("orders"))).Code);
    }

    [Fact]
    public async Task Recreated_topic_is_found_under_its_new_id()
    {
        _script.Append = key => Task.FromResult(key == GrainKeys.Partition(NewId, 0)
            ? new ProduceResult(ErrorCode.None, 7)
            : ProduceResult.Failed(ErrorCode.UnknownTopicId, "gone"));
        Assert.Equal(OldId, (await _broker.GetTopicAsync("orders")).TopicId);
        _script.Topics["orders"] = new TopicListing("orders", NewId, 1);
        Assert.Equal(7, (await _broker.ProduceAsync(Orders, new byte[61], Acks.All)).BaseOffset);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Append_by_id_is_not_passed_to_a_topic_that_was_created_again(bool isKnown)
    {
        _script.Append = key => Task.FromResult(key == GrainKeys.Partition(NewId, 0)
            ? new ProduceResult(ErrorCode.None, 7)
            : ProduceResult.Failed(ErrorCode.UnknownTopicId, "gone"));
        await _broker.GetTopicAsync("orders");
        _script.Topics["orders"] = new TopicListing("orders", NewId, 1);
        if (isKnown)
            Assert.Equal(7, (await _broker.ProduceAsync(Orders, new byte[61], Acks.All)).BaseOffset);
        IBroker broker = _broker;
        Assert.Equal(ErrorCode.UnknownTopicId, (await broker.ProduceToAsync(OldId, Orders, new byte[61], Acks.All)).Error);
        Assert.Equal(7, (await broker.ProduceToAsync(NewId, Orders, new byte[61], Acks.All)).BaseOffset);
    }

    [Fact]
    public async Task Deleted_topic_is_unknown()
    {
        _script.Append = _ => Task.FromResult(ProduceResult.Failed(ErrorCode.UnknownTopicId, "gone"));
        await _broker.GetTopicAsync("orders");
        _script.Topics.Clear();
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await _broker.ProduceAsync(Orders, new byte[61], Acks.All)).Error);
    }

    [Fact]
    public async Task Partition_added_elsewhere_is_found()
    {
        _script.Append = _ => Task.FromResult(new ProduceResult(ErrorCode.None, 7));
        await _broker.GetTopicAsync("orders");
        var second = new TopicPartition("orders", 1);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await _broker.ProduceAsync(second, new byte[61], Acks.All)).Error);
        _script.Topics["orders"] = new TopicListing("orders", OldId, 2);
        Assert.Equal(7, (await _broker.ProduceAsync(second, new byte[61], Acks.All)).BaseOffset);
    }

    [Fact]
    public async Task Metadata_is_served_from_memory_for_a_second()
    {
        await _broker.GetTopicAsync("orders");
        _script.Topics["orders"] = new TopicListing("orders", OldId, 2);
        _time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal(1, (await _broker.GetTopicAsync("orders")).Partitions);
        Assert.Equal(1, _script.Lookups);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(2, (await _broker.GetTopicAsync("orders")).Partitions);
    }

    [Theory]
    [MemberData(nameof(Unanswered))]
    public async Task Call_that_times_out_has_an_unknown_outcome(Exception exception)
    {
        _script.Append = _ => Task.FromException<ProduceResult>(exception);
        var result = await _broker.ProduceAsync(Orders, new byte[61], Acks.All);
        Assert.Equal(ErrorCode.RequestTimedOut, result.Error);
        Assert.Equal(ErrorAction.Retry, result.Error.Action());
        Assert.Contains("Retry", result.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Read_is_retried_while_its_partition_has_no_leader()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var answers =
            new Queue<ErrorCode>([ErrorCode.LeaderNotAvailable, ErrorCode.NotLeaderOrFollower, ErrorCode.RequestTimedOut, ErrorCode.None]);
        _script.Read = (_, _) => Task.FromResult(answers.Dequeue() is not ErrorCode.None and var error
            ? FetchResult.Failed(error, "no leader") : Empty());
        using var result = await broker.FetchAsync(new FetchRequest(Orders, 5));
        Assert.Equal((ErrorCode.None, 0), (result.Error, answers.Count));
    }

    /// <summary>A first attempt that is carried out late must not delete what came meanwhile.</summary>
    [Fact]
    public async Task Deletion_up_to_the_end_names_the_end_of_when_it_was_asked_for_in_each_attempt()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var (end, wanted) = (4L, new List<long>());
        _script.End = () => Task.FromResult(new OffsetResult(ErrorCode.None, end++));
        _script.Delete = before =>
        {
            wanted.Add(before);
            return wanted.Count == 1
                ? Task.FromException<long>(new BrokerException(ErrorCode.NotLeaderOrFollower, "moved")) : Task.FromResult(before);
        };
        Assert.Equal(4, await broker.DeleteRecordsAsync(Orders, -1));
        Assert.Equal([4, 4], wanted);
    }

    [Fact]
    public async Task Deletion_up_to_an_end_that_nobody_answers_is_refused_and_deletes_nothing()
    {
        _script.End = () => Task.FromResult(new OffsetResult(ErrorCode.TopicAuthorizationFailed, -1, Message: "not yours"));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.DeleteRecordsAsync(Orders, -1).AsTask());
        Assert.Equal((ErrorCode.TopicAuthorizationFailed, "not yours"), (refused.Code, refused.Message));
    }

    /// <summary>A change that is carried out late must not change the next topic of its name.</summary>
    [Fact]
    public async Task Change_of_a_topic_names_the_id_that_it_had_when_it_was_asked_for()
    {
        var wanted = new List<Guid?>();
        _script.Change = id =>
        {
            wanted.Add(id);
            return Task.FromException<TopicDescription>(new BrokerException(ErrorCode.InvalidConfig, "not this"));
        };
        // What the broker remembers of the topic is another one.
        await _broker.GetTopicAsync("orders");
        _script.Topics["orders"] = new TopicListing("orders", NewId, 1);
        var configs = new Dictionary<string, string?> { ["retention.ms"] = "1000" };
        var refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.AlterTopicAsync("orders", configs).AsTask());
        Assert.Equal((ErrorCode.InvalidConfig, "not this"), (refused.Code, refused.Message));
        Assert.Equal(NewId, Assert.Single(wanted));
        _script.Topics.Remove("orders");
        refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.AlterTopicAsync("orders", configs).AsTask());
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
        Assert.Single(wanted);
    }

    [Fact]
    public async Task Change_of_a_topic_that_its_caller_may_not_look_up_names_no_id()
    {
        var wanted = new List<Guid?>();
        _script.Looks = () => Task.FromException(new BrokerException(ErrorCode.TopicAuthorizationFailed, "not yours"));
        _script.Change = id =>
        {
            wanted.Add(id);
            return Task.FromException<TopicDescription>(new BrokerException(ErrorCode.InvalidConfig, "not this"));
        };
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            _broker.AlterTopicAsync("orders", new Dictionary<string, string?>()).AsTask());
        Assert.Equal(ErrorCode.InvalidConfig, refused.Code);
        Assert.Null(Assert.Single(wanted));
    }

    /// <summary>A first attempt that is carried out late must not purge what came meanwhile.</summary>
    [Fact]
    public async Task Purge_names_the_end_of_when_it_was_asked_for_in_each_attempt()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var (end, wanted) = (4L, new List<(string, long?)>());
        _script.End = () => Task.FromResult(new OffsetResult(ErrorCode.None, end++));
        _script.Purge = (queue, below) =>
        {
            wanted.Add((queue, below));
            return wanted.Count == 1
                ? Task.FromException(new BrokerException(ErrorCode.NotLeaderOrFollower, "moved")) : Task.CompletedTask;
        };
        await broker.Queues.PurgeAsync(Orders, "work");
        Assert.Equal(new (string, long?)[] { ("work", 4), ("work", 4) }, wanted);
        await broker.Queues.PurgeAsync(Orders, "work", below: 2);
        Assert.Equal(("work", (long?)2), wanted[^1]);
        Assert.Equal(5, end);
    }

    /// <summary>A first attempt that is carried out late must not pass over what came meanwhile.</summary>
    [Fact]
    public async Task Reset_to_the_latest_names_the_end_of_when_it_was_asked_for_in_each_attempt()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var (end, described, wanted) = (4L, Describe(), new List<(OffsetSpec, Guid?)>());
        _script.End = () => Task.FromResult(new OffsetResult(ErrorCode.None, end++));
        _script.Queue = (method, arguments) =>
        {
            if (method == nameof(IQueueGrain.DescribeAsync))
                return Task.FromResult(described);
            Assert.Equal(nameof(IQueueGrain.ResetAsync), method);
            wanted.Add(((OffsetSpec)arguments[1]!, (Guid?)arguments[2]));
            return wanted.Count == 1
                ? Task.FromException<QueueDescription>(new BrokerException(ErrorCode.NotLeaderOrFollower, "moved"))
                : Task.FromResult(Describe());
        };
        await broker.Queues.ResetAsync(Orders, "work", OffsetSpec.Latest);
        var once = (OffsetSpec.AtOffset(4), (Guid?)described.Id);
        Assert.Equal(new[] { once, once }, wanted);
        await broker.Queues.ResetAsync(Orders, "work", OffsetSpec.Earliest, OldId);
        Assert.Equal((OffsetSpec.Earliest, (Guid?)OldId), wanted[^1]);
        Assert.Equal(5, end);
    }

    /// <summary>A call that is carried out late must do nothing to the next queue of the name.</summary>
    [Fact]
    public async Task Change_of_a_queue_names_the_id_that_it_had_when_it_was_asked_for_in_each_attempt()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var (ids, wanted) = (new List<Guid>(), new List<(string, Guid?)>());
        _script.Queue = (method, arguments) =>
        {
            var described = Describe();
            if (method == nameof(IQueueGrain.DescribeAsync))
            {
                ids.Add(described.Id);
                return Task.FromResult(described);
            }
            wanted.Add((method, (Guid?)arguments[^2]));
            return wanted.Count % 2 == 1
                ? Task.FromException<QueueDescription>(new BrokerException(ErrorCode.NotLeaderOrFollower, "moved"))
                : Task.FromResult(described);
        };
        await broker.Queues.DeleteAsync(Orders, "work");
        await broker.Queues.AlterAsync(Orders, "work", new QueueOptions());
        Assert.Equal(2, ids.Count);
        var (deleted, altered) = ((nameof(IQueueGrain.DeleteAsync), (Guid?)ids[0]), (nameof(IQueueGrain.AlterAsync), (Guid?)ids[1]));
        Assert.Equal(new[] { deleted, deleted, altered, altered }, wanted);
    }

    [Fact]
    public async Task Purge_waits_until_a_new_leader_knows_the_end()
    {
        var broker = new GrainBroker(_grains, options: new GrainBrokerOptions { LeaderPatience = TimeSpan.FromMinutes(1) });
        var (lookups, purged) = (0, (long?)null);
        _script.End = () => Task.FromResult(++lookups == 1
            ? new OffsetResult(ErrorCode.OffsetNotAvailable, -1, Message: "not known yet") : new OffsetResult(ErrorCode.None, 4));
        _script.Purge = (_, below) =>
        {
            purged = below;
            return Task.CompletedTask;
        };
        await broker.Queues.PurgeAsync(Orders, "work");
        Assert.Equal((2, (long?)4), (lookups, purged));
    }

    [Fact]
    public async Task Purge_whose_end_is_refused_purges_nothing()
    {
        _script.End = () => Task.FromResult(new OffsetResult(ErrorCode.TopicAuthorizationFailed, -1, Message: "not yours"));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => _broker.Queues.PurgeAsync(Orders, "work").AsTask());
        Assert.Equal((ErrorCode.TopicAuthorizationFailed, "not yours"), (refused.Code, refused.Message));
    }

    [Fact]
    public async Task Append_is_not_retried_for_its_sender()
    {
        var calls = 0;
        _script.Append = _ => Task.FromResult(ProduceResult.Failed(++calls == 1 ? ErrorCode.NotLeaderOrFollower : ErrorCode.None, "moved"));
        Assert.Equal(ErrorCode.NotLeaderOrFollower, (await _broker.ProduceAsync(Orders, new byte[61], Acks.All)).Error);
    }

    [Fact]
    public async Task Thrown_refusal_is_an_answer()
    {
        _script.Append = _ => Task.FromException<ProduceResult>(new BrokerException(ErrorCode.LeaderNotAvailable, "broker 1 is down"));
        var result = await _broker.ProduceAsync(Orders, new byte[61], Acks.All);
        Assert.Equal((ErrorCode.LeaderNotAvailable, "broker 1 is down"), (result.Error, result.Message));
    }

    [Fact]
    public async Task Append_with_acks_all_does_not_block_one_with_acks_leader()
    {
        var unanswered = new TaskCompletionSource<ProduceResult>();
        var calls = 0;
        _script.Append = _ => ++calls <= AppendLane.MaxCalls ? unanswered.Task : Task.FromResult(new ProduceResult(ErrorCode.None, 7));
        var all = Enumerable.Range(0, AppendLane.MaxCalls).Select(_ => _broker.ProduceAsync(Orders, new byte[61], Acks.All).AsTask())
            .ToArray();
        Assert.Equal(7, (await _broker.ProduceAsync(Orders, new byte[61], Acks.Leader)).BaseOffset);
        unanswered.SetResult(new ProduceResult(ErrorCode.None, 5));
        Assert.All(await Task.WhenAll(all), result => Assert.Equal(5, result.BaseOffset));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Partition_keeps_its_append_lane_while_its_topic_is_unchanged(int partitions)
    {
        var unanswered = new TaskCompletionSource<ProduceResult>();
        var calls = 0;
        _script.Append = _ => ++calls <= AppendLane.MaxCalls ? unanswered.Task : Task.FromResult(new ProduceResult(ErrorCode.None, calls));
        var before = Enumerable.Range(0, AppendLane.MaxCalls).Select(_ => _broker.ProduceAsync(Orders, new byte[61], Acks.All).AsTask())
            .ToArray();
        _time.Advance(TimeSpan.FromSeconds(1));
        _script.Topics["orders"] = new TopicListing("orders", OldId, partitions);
        Assert.Equal(partitions, (await _broker.GetTopicAsync("orders")).Partitions);
        var after = _broker.ProduceAsync(Orders, new byte[61], Acks.All).AsTask();
        Assert.Equal(AppendLane.MaxCalls, calls);
        unanswered.SetResult(new ProduceResult(ErrorCode.None, 5));
        Assert.All(await Task.WhenAll(before), result => Assert.Equal(5, result.BaseOffset));
        Assert.Equal(AppendLane.MaxCalls + 1, (await after).BaseOffset);
    }

    [Fact]
    public async Task Unknown_acks_value_is_forwarded_and_refused()
    {
        _script.Append = _ => Task.FromResult(ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, "7"));
        Assert.Equal(ErrorCode.InvalidRequiredAcks, (await _broker.ProduceAsync(Orders, new byte[61], (Acks)7)).Error);
    }

    public static TheoryData<Exception> Unanswered() =>
        [new TimeoutException("30 s"), new Orleans.Runtime.SiloUnavailableException("gone")];

    [Fact]
    public async Task Creation_whose_controller_dies_before_its_answer_is_unknown_and_not_repeated()
    {
        var calls = 0;
        _script.Controller = () =>
        {
            calls++;
            return Task.FromException<TopicDescription>(new SiloUnavailableException("the silo is declared dead"));
        };
        // Orleans tells a broker of the death.
        var broker = new GrainBroker(_grains, Local.Create<ILocalPartitions, Local>(), new GrainBrokerOptions());
        var unknown = await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateTopicAsync(new NewTopic("new", 1)));
        Assert.Equal((1, ErrorCode.RequestTimedOut), (calls, unknown.Code));
    }

    [Fact]
    public async Task Shared_question_has_nothing_of_the_request_that_asks_first()
    {
        var request = new AsyncLocal<string?> { Value = "of the first" };
        var (asked, goOn) = (new List<string?>(), new TaskCompletionSource());
        var questions = new SharedQuestions<int>(async _ =>
        {
            asked.Add(request.Value);
            await goOn.Task;
            return asked.Count;
        });
        var first = questions.AskAsync("orders");
        request.Value = "of the second";
        var second = questions.AskAsync("orders");
        goOn.SetResult();
        Assert.Equal((1, 2), (await first, await second));
        Assert.Equal([null, null], asked);
    }

    [Theory]
    [InlineData("")]
    [InlineData(null)]
    public async Task Invalid_topic_name_activates_no_grain(string? name)
    {
        name ??= new string('a', 250);
        var produced = await _broker.ProduceAsync(new TopicPartition(name, 0), new byte[61], Acks.All);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, produced.Error);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _broker.GetTopicAsync(name));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
        Assert.Equal(0, _script.Lookups);
    }

    [Theory]
    [InlineData("0000000000000000000000000000000a/0", true)]
    [InlineData("0000000000000000000000000000000a/10000", true)]
    [InlineData("0000000000000000000000000000000A/0", false)]
    [InlineData("0000000000000000000000000000000a/00", false)]
    [InlineData("0000000000000000000000000000000a/-1", false)]
    [InlineData("0000000000000000000000000000000a", false)]
    [InlineData("orders/0", false)]
    public void Partition_has_exactly_one_key(string key, bool isKey)
    {
        Assert.Equal(isKey, GrainKeys.TryParsePartition(key, out var topicId, out var partition));
        if (isKey)
            Assert.Equal(key, GrainKeys.Partition(topicId, partition));
    }

    private static QueueDescription Describe() => new("work", Guid.NewGuid(), new QueueOptions());

    private static FetchResult Empty() => new(ErrorCode.None, 5, 5, 0, default);

    /// <summary>A broker that leads no partition.</summary>
    public class Local : DispatchProxy
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => throw new NotSupportedException();
    }
}
