using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>A regular expression is resolved to the topics that its member may describe.</summary>
public class ResolvedRegexTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly ScriptedStore _store = new();
    private readonly TestTopics _topics = new();
    private readonly Dictionary<string, IReadOnlyList<TopicPartitions>> _owned = [];
    private readonly Dictionary<string, int> _epochs = [];
    private ScriptedSight? _sight = ScriptedSight.OfPrefixes();
    private ScriptedCore _core = null!;
    private int _lastCore;

    public ResolvedRegexTests()
    {
        foreach (var name in (string[])["alice-1", "alice-2", "bob-1", "other"])
            _topics.Set(name, 1);
        TakeOver();
    }

    private GroupTopics Seen => GroupTopics.Of(_topics.Image, _sight);

    private void TakeOver() => _core = new ScriptedCore(_store, Start, Seen, number: ++_lastCore);

    private void See(ScriptedSight? sight)
    {
        _sight = sight;
        Look();
    }

    private void Look() => _core.Execute(new TopicsChanged(Seen));

    private string Join(string member, Subscriber? subscriber, string regex = ".*") => Say(member, new ConsumerGroupHeartbeat
    {
        GroupId = "g",
        MemberId = member,
        SubscribedTopicRegex = regex,
        RebalanceTimeout = TimeSpan.FromSeconds(30),
        OwnedPartitions = [],
        Subscriber = subscriber,
    });

    // The member obeys its last answer.
    private string Beat(string member, Subscriber? subscriber) => Say(member, new ConsumerGroupHeartbeat
    {
        GroupId = "g",
        MemberId = member,
        MemberEpoch = _epochs[member],
        OwnedPartitions = _owned[member],
        Subscriber = subscriber,
    });

    private string Say(string member, ConsumerGroupHeartbeat heartbeat)
    {
        var result = _core.Ask<ConsumerGroupHeartbeatResult>(heartbeat);
        Assert.Equal(ErrorCode.None, result.Error);
        _epochs[member] = result.MemberEpoch;
        if (result.Assignment is { } assignment)
            _owned[member] = assignment;
        return string.Join(' ', _owned[member].Select(topic => _topics.NameOf(topic.TopicId)).Order(StringComparer.Ordinal));
    }

    // All members heartbeat until nothing changes any more.
    private void Settle(params string[] principals)
    {
        string before;
        do
        {
            before = string.Join(' ', _epochs);
            foreach (var principal in principals)
                Beat(principal, ScriptedSight.As(principal));
        }
        while (before != string.Join(' ', _epochs));
    }

    private int GroupEpoch => _core.Core.Consumer!.State.GroupEpoch;

    [Fact]
    public void Member_gets_matching_topics_that_it_may_describe()
    {
        Assert.Equal("alice-1 alice-2", Join("alice", ScriptedSight.As("alice")));
        Assert.Equal("bob-1", Join("bob", ScriptedSight.As("bob"), "bob-.*|alice-1"));
    }

    [Fact]
    public void Regular_expression_that_matches_only_hidden_topics_gets_none() =>
        Assert.Equal("", Join("alice", ScriptedSight.As("alice"), "bob-.*"));

    [Fact]
    public void Without_rules_every_member_sees_all()
    {
        See(null);
        Assert.Equal("alice-1 alice-2 bob-1 other", Join("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Topic_that_a_rule_hides_is_taken_from_the_member_with_its_next_heartbeat()
    {
        Join("alice", ScriptedSight.As("alice"));
        See(new ScriptedSight((_, topic) => topic == "alice-1"));
        Assert.Equal("alice-1", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Topic_that_a_rule_shows_is_given_to_the_member()
    {
        Join("alice", ScriptedSight.As("alice"));
        See(new ScriptedSight((_, topic) => topic.StartsWith("alice", StringComparison.Ordinal) || topic == "other"));
        Assert.Equal("alice-1 alice-2 other", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Topic_that_is_hidden_from_one_member_moves_to_another_that_sees_it()
    {
        See(new ScriptedSight((_, topic) => topic == "other"));
        Assert.Equal("other", Join("alice", ScriptedSight.As("alice")));
        Join("bob", ScriptedSight.As("bob"));
        Settle("alice", "bob");
        var (reader, idle) = _owned["alice"].Count > 0 ? ("alice", "bob") : ("bob", "alice");
        See(new ScriptedSight((principal, topic) => topic == "other" && principal == idle));
        Settle(reader, idle);
        Assert.Empty(_owned[reader]);
        Assert.Equal("other", Beat(idle, ScriptedSight.As(idle)));
    }

    [Fact]
    public void Hidden_topic_that_comes_or_goes_moves_no_epoch()
    {
        Join("alice", ScriptedSight.As("alice"));
        var before = GroupEpoch;
        _topics.Set("bob-2", 3);
        Look();
        _topics.Delete("bob-1");
        Look();
        Assert.Equal(before, GroupEpoch);
        _topics.Set("alice-3", 1);
        Look();
        Assert.Equal(before + 1, GroupEpoch);
        Assert.Equal("alice-1 alice-2 alice-3", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Rules_that_are_not_read_revoke_nothing_and_add_nothing()
    {
        Join("alice", ScriptedSight.As("alice"));
        var before = GroupEpoch;
        See(new ScriptedSight((_, _) => null));
        TakeOver();
        _topics.Set("alice-3", 1);
        Look();
        Assert.Equal("alice-1 alice-2", Beat("alice", ScriptedSight.As("alice")));
        Assert.Equal(before, GroupEpoch);
        See(ScriptedSight.OfPrefixes());
        Assert.Equal("alice-1 alice-2 alice-3", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void New_coordinator_keeps_assignments_until_members_tell_whose_they_are()
    {
        Join("alice", ScriptedSight.As("alice"));
        Join("bob", ScriptedSight.As("bob"));
        Settle("alice", "bob");
        var before = GroupEpoch;
        TakeOver();
        Assert.Equal("alice-1 alice-2", Beat("alice", ScriptedSight.As("alice")));
        Assert.Equal("bob-1", Beat("bob", ScriptedSight.As("bob")));
        Assert.Equal(before, GroupEpoch);
    }

    [Fact]
    public void Topic_that_came_during_a_takeover_is_assigned_with_the_next_heartbeat()
    {
        Join("alice", ScriptedSight.As("alice"));
        TakeOver();
        _topics.Set("alice-3", 1);
        Look();
        Assert.Equal("alice-1 alice-2 alice-3", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Rules_that_changed_during_a_takeover_hold_with_the_next_heartbeat()
    {
        Join("alice", ScriptedSight.As("alice"));
        Join("bob", ScriptedSight.As("bob"));
        Settle("alice", "bob");
        _sight = new ScriptedSight((principal, topic) => topic.StartsWith(principal, StringComparison.Ordinal) && topic != "alice-2");
        TakeOver();
        Assert.Equal("alice-1", Beat("alice", ScriptedSight.As("alice")));
        Assert.Equal("bob-1", Beat("bob", ScriptedSight.As("bob")));
    }

    [Fact]
    public void Topic_that_a_new_coordinator_gave_to_the_wrong_member_is_taken_back_with_its_heartbeat()
    {
        Join("alice", ScriptedSight.As("alice"));
        Join("bob", ScriptedSight.As("bob"));
        Settle("alice", "bob");
        TakeOver();
        // Neither alice nor bob has told yet that it is theirs, and the target is computed.
        Join("carol", ScriptedSight.As("carol"));
        Settle("alice", "bob", "carol");
        Assert.Equal("alice-1 alice-2", Beat("alice", ScriptedSight.As("alice")));
        Assert.Equal("bob-1", Beat("bob", ScriptedSight.As("bob")));
        Assert.Equal("", Beat("carol", ScriptedSight.As("carol")));
    }

    [Fact]
    public void Heartbeat_of_the_same_caller_decides_nothing()
    {
        Join("alice", ScriptedSight.As("alice"));
        var before = _sight!.Decisions;
        Assert.True(before > 0);
        for (var beat = 0; beat < 3; beat++)
            Beat("alice", ScriptedSight.As("alice", $"client {beat}"));
        Assert.Equal(before, _sight.Decisions);
    }

    [Fact]
    public void Member_that_calls_as_another_principal_gets_the_topics_of_that_one()
    {
        Join("alice", ScriptedSight.As("alice"));
        Beat("alice", ScriptedSight.As("bob"));
        Assert.Equal("bob-1", Beat("alice", ScriptedSight.As("bob")));
    }

    [Fact]
    public void Heartbeat_that_names_no_caller_changes_none()
    {
        Join("alice", ScriptedSight.As("alice"));
        Assert.Equal("alice-1 alice-2", Beat("alice", null));
        _topics.Set("bob-2", 1);
        Look();
        Assert.Equal("alice-1 alice-2", Beat("alice", null));
    }

    [Fact]
    public void Regular_expression_without_a_caller_comes_from_a_broker_that_has_checked_it()
    {
        Assert.Equal("alice-1 alice-2 bob-1 other", Join("alice", null));
        Beat("alice", ScriptedSight.As("alice"));
        Assert.Equal("alice-1 alice-2", Beat("alice", ScriptedSight.As("alice")));
    }

    [Fact]
    public void Code_of_the_broker_sees_all_also_after_a_takeover()
    {
        Assert.Equal("alice-1 alice-2 bob-1 other", Join("alice", Subscriber.Broker));
        TakeOver();
        Beat("alice", Subscriber.Broker);
        _topics.Set("bob-2", 1);
        Look();
        Assert.Equal("alice-1 alice-2 bob-1 bob-2 other", Beat("alice", Subscriber.Broker));
    }
}
