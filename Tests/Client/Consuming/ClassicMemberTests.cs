using System.Collections.Concurrent;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A member under the classic protocol, and a coordinator that is slow or out of step.</summary>
public sealed class ClassicMemberTests : ConsumerFixture
{
    // So long that no session ends while a test moves the clock from heartbeat to heartbeat.
    private static readonly TimeSpan s_session = TimeSpan.FromHours(10);

    private readonly ScriptedClassicGroups _groups = new();

    private IConsumer<string, string> ConsumeClassic(GroupedBroker broker, IRebalanceListener listener, string assignor,
        params string[] topics)
    {
        var consumer = new OrleansMqClient(broker).CreateConsumer<string, string>(Options(listener) with
        {
            Protocol = GroupType.Classic,
            Assignors = [assignor],
            SessionTimeout = s_session,
            RebalanceTimeout = 2 * s_session,
            AutoCommit = false,
            Reader = new ReaderOptions { TimeProvider = Clock },
        });
        consumer.Subscribe(topics.Length == 0 ? [Topic] : topics);
        return consumer;
    }

    private Task UntilAsync(Func<bool> condition, string what) => Wait.UntilAsync(() =>
    {
        Clock.Advance(TimeSpan.FromSeconds(1));
        return condition();
    }, what);

    [Theory]
    [InlineData("cooperative-sticky", false)]
    [InlineData("cooperative-sticky", true)]
    [InlineData("range", true)]
    public async Task Member_reads_again_what_it_lost_during_a_join_longer_than_its_session(string assignor, bool isLostTwice)
    {
        await SendAsync(0, "a");
        var heard = new Heard();
        await using var consumer = ConsumeClassic(new GroupedBroker(Test.Broker, _groups), heard, assignor);
        Assert.Equal(["a"], await ReadAsync(consumer, 1));
        for (var loss = 0; loss < (isLostTwice ? 2 : 1); loss++)
        {
            var joining = new TaskCompletionSource();
            var mayJoin = new TaskCompletionSource();
            _groups.OnJoin = () => { joining.TrySetResult(); return mayJoin.Task; };
            _groups.OnHeartbeat = () => joining.Task.IsCompleted ? ErrorCode.CoordinatorNotAvailable : ErrorCode.RebalanceInProgress;
            Assert.Null(await consumer.ReadAsync(TimeSpan.Zero)); // No record is in flight.
            await UntilAsync(() => joining.Task.IsCompleted, "the join");
            var before = heard.All.Count;
            Clock.Advance(s_session + TimeSpan.FromSeconds(1));
            if (assignor != "range") // An eager member has revoked them before it joins.
                await Wait.UntilAsync(() => heard.All.Count > before, "the loss");
            _groups.OnHeartbeat = () => ErrorCode.None;
            _groups.OnJoin = () => Task.CompletedTask;
            mayJoin.SetResult();
            Assert.Equal(["a"], await ReadAsync(consumer, 1));
        }
        var gone = assignor == "range" ? "revoked 0 1 2 3" : "lost 0 1 2 3";
        string[] expected = ["assigned 0 1 2 3", gone, "assigned 0 1 2 3", gone, "assigned 0 1 2 3"];
        Assert.Equal(isLostTwice ? expected : expected[..3], heard.All);
    }

    [Fact]
    public async Task Leader_asks_for_a_missing_topic_by_name_less_and_less_often()
    {
        var lists = 0;
        var asks = 0;
        var broker = new GroupedBroker(Test.Broker, _groups) { OnListTopics = () => { Interlocked.Increment(ref lists); return null; } };
        var heard = new Heard();
        await using var consumer = ConsumeClassic(broker, heard, "cooperative-sticky", Topic, "bills");
        await UntilAsync(() => heard.All.Count > 0, "the assignment");
        broker.OnGetTopic = _ => Interlocked.Increment(ref asks);
        var (listsBefore, since) = (Volatile.Read(ref lists), Clock.GetUtcNow());
        await UntilAsync(() => Volatile.Read(ref lists) - listsBefore + asks >= 12, "the looks");
        Assert.InRange(Clock.GetUtcNow() - since, TimeSpan.FromSeconds(80), TimeSpan.FromHours(1));
        await Client.Admin.CreateTopicAsync("bills", 1);
        await UntilAsync(() => consumer.Assignment.Contains(new TopicPartition("bills", 0)), "the topic");
    }

    [Fact]
    public async Task Partition_is_assigned_only_with_the_id_of_its_topic()
    {
        await SendAsync(0, "a");
        // The leader knows the topic before the member's broker does.
        var looks = 0;
        var broker = new GroupedBroker(Test.Broker, _groups)
            { OnListTopics = () => Interlocked.Increment(ref looks) <= 3 ? [] : null };
        _groups.Assigned = [P(0)];
        var ids = new ConcurrentQueue<Guid>();
        var heard = new Heard { OnAssigned = (consumer, _) => { ids.Enqueue(consumer.GetTopicId(P(0))); return Task.CompletedTask; } };
        await using var consumer = ConsumeClassic(broker, heard, "range");
        await UntilAsync(() => heard.All.Count > 0, "the assignment");
        Assert.Equal([TopicId], ids);
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
    }
}
