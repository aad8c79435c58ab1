using System.Text;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>The documents byte for byte: later versions must read what one version wrote.</summary>
public sealed class GroupDocumentTests
{
    private static readonly CoordinatorClaim Claim = new(3, new Guid(1, 2, 3, new byte[8]));

    private static readonly string Group = OneLine("""
        {"version":1,"coordinator":{"epoch":3,"token":"00000001-0002-0003-0000-000000000000"},"type":"classic",
        "classic":{"state":"stable","generation":7,"protocolType":"consumer","protocolName":"range","leader":"a-1",
        "members":{"a-1":{"memberId":"a-1","groupInstanceId":"one","clientId":"a","clientHost":"/127.0.0.1",
        "sessionTimeout":"00:00:45","rebalanceTimeout":"00:05:00","protocols":[{"name":"range","metadata":"AQI="}],
        "assignment":"Aw=="}}}}
        """);

    private static readonly string Offsets = OneLine("""
        {"version":1,"coordinator":{"epoch":3,"token":"00000001-0002-0003-0000-000000000000"},
        "topics":[{"topic":"t","topicId":"00000009-0000-0000-0000-000000000000","partitions":[
        {"partition":0,"offset":5,"leaderEpoch":2,"metadata":"m","committedAt":1000},{"partition":11,"offset":6,"committedAt":1001}]}],
        "pending":[{"producerId":77,"topics":[{"topic":"t","topicId":"00000009-0000-0000-0000-000000000000","partitions":[
        {"partition":1,"offset":8,"committedAt":1002}]}]}]}
        """);

    private static string OneLine(string text) => text.Replace("\n", "", StringComparison.Ordinal);

    private static readonly Guid TopicId = new(9, 0, 0, new byte[8]);

    [Fact]
    public void Configuration_of_a_share_group_that_an_earlier_version_wrote_is_that_of_its_id()
    {
        const string configs = """
            "configs":{"share.delivery.count.limit":"7"}
            """;
        var read = GroupDocument.Parse(Encoding.UTF8.GetBytes("""
            {"version":1,"coordinator":{"epoch":3,"token":"00000001-0002-0003-0000-000000000000"},"type":"share",
            "share":{"groupEpoch":4,"targetEpoch":4,"topics":{},"members":{},"cursors":[],
            """ + configs + "}}"));
        Assert.Equal(KeyValuePair.Create("share.delivery.count.limit", "7"), Assert.Single(read.Configs!));
        Assert.EndsWith($",{configs}}}", Encoding.UTF8.GetString(read.ToBytes()), StringComparison.Ordinal);
        Assert.Equal((4, null), (read.Share!.GroupEpoch, read.Share.Configs));
    }

    [Fact]
    public void Classic_group_round_trips()
    {
        var member = new ClassicMember
        {
            MemberId = "a-1",
            GroupInstanceId = "one",
            ClientId = "a",
            ClientHost = "/127.0.0.1",
            SessionTimeout = TimeSpan.FromSeconds(45),
            RebalanceTimeout = TimeSpan.FromMinutes(5),
            Protocols = [new GroupProtocol("range", new byte[] { 1, 2 })],
            Assignment = new byte[] { 3 },
        };
        var state = new ClassicGroupState { State = GroupState.Stable, Generation = 7, ProtocolType = "consumer", ProtocolName = "range",
            Leader = "a-1" }.With(member);
        var document = new GroupDocument { Coordinator = Claim, Type = GroupType.Classic, Classic = state };
        Assert.Equal(Group, Encoding.UTF8.GetString(document.ToBytes()));
        var read = GroupDocument.Parse(Encoding.UTF8.GetBytes(Group));
        Assert.Equal(Claim, read.Coordinator);
        Assert.Equal("one", read.Classic!.Members["a-1"].GroupInstanceId);
        Assert.Equal(Group, Encoding.UTF8.GetString(read.ToBytes()));
    }

    [Fact]
    public void Offsets_round_trip_with_those_of_open_transactions()
    {
        var offsets = GroupOffsets.Empty.With("t", TopicId, 11, new CommittedOffset(6, CommitTimestamp: 1001))
            .With("t", TopicId, 0, new CommittedOffset(5, 2, "m", 1000))
            .WithPending(77, "t", TopicId, 1, new CommittedOffset(8, CommitTimestamp: 1002));
        Assert.Equal(Offsets, Encoding.UTF8.GetString(GroupOffsetsDocument.Of(Claim, offsets).ToBytes()));
        var read = GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Offsets)).ToOffsets();
        Assert.Equal(new CommittedOffset(5, 2, "m", 1000), read.Find(new TopicPartition("t", 0)));
        Assert.True(read.IsPending(new TopicPartition("t", 1)));
        Assert.Equal(Offsets, Encoding.UTF8.GetString(GroupOffsetsDocument.Of(Claim, read).ToBytes()));
    }

    [Theory]
    [InlineData("\"version\":1,", "\"version\":2,")]
    [InlineData("\"version\":1,", "\"version\":0,")]
    [InlineData("\"stable\"", "\"asleep\"")]
    [InlineData("\"stable\"", "4")]
    [InlineData("\"type\":\"classic\"", "\"type\":\"unknown\"")]
    [InlineData("\"coordinator\":", "\"other\":")]
    public void Unreadable_document_is_refused(string what, string instead)
    {
        Assert.Contains(what, Group);
        Assert.Throws<JsonException>(() =>
            GroupDocument.Parse(Encoding.UTF8.GetBytes(Group.Replace(what, instead, StringComparison.Ordinal))));
    }

    [Fact]
    public void Offsets_of_a_newer_version_are_refused() => Assert.Throws<JsonException>(
        () =>
        GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Offsets.Replace("\"version\":1,", "\"version\":2,", StringComparison.Ordinal))));
}
