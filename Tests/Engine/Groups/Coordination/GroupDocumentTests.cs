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
        "pending":[]}
        """);

    private static readonly string Transactions = OneLine("""
        {"version":2,"coordinator":{"epoch":3,"token":"00000001-0002-0003-0000-000000000000"},"topics":[],
        "pending":[{"producerId":77,"epoch":4,"number":5,"transactionalId":"x","topics":[
        {"topic":"t","topicId":"00000009-0000-0000-0000-000000000000","partitions":[
        {"partition":1,"offset":8,"committedAt":1002,"order":3},
        {"partition":12,"offset":9,"leaderEpoch":2,"metadata":"m","committedAt":1003,"order":4}]},
        {"topic":"u","topicId":"0000000a-0000-0000-0000-000000000000","partitions":[
        {"partition":0,"offset":7,"committedAt":1001,"order":2}]}]}],
        "fences":[{"producerId":78,"number":6,"epoch":7,"coordinatorEpoch":8,"endedAt":1004}]}
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
    public void Offsets_round_trip()
    {
        var offsets = GroupOffsets.Empty.With("t", TopicId, 11, new CommittedOffset(6, CommitTimestamp: 1001))
            .With("t", TopicId, 0, new CommittedOffset(5, 2, "m", 1000));
        Assert.Equal(Offsets, Encoding.UTF8.GetString(GroupOffsetsDocument.Of(Claim, offsets).ToBytes()));
        var read = GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Offsets)).ToOffsets();
        Assert.Equal(new CommittedOffset(5, 2, "m", 1000), read.Find(new TopicPartition("t", 0)));
        Assert.Equal(Offsets, Encoding.UTF8.GetString(GroupOffsetsDocument.Of(Claim, read).ToBytes()));
    }

    [Fact]
    public void Transactions_round_trip()
    {
        var read = GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Transactions)).ToOffsets();
        Assert.Equal(Transactions, Encoding.UTF8.GetString(GroupOffsetsDocument.Of(Claim, read).ToBytes()));
        var pending = read.Pending.Find(77)!;
        Assert.Equal(("x", (short)4, 5), (pending.TransactionalId, pending.Epoch, pending.Number));
        Assert.Equal(new PendingOffset(TopicId, new CommittedOffset(9, 2, "m", 1003), 4), pending.Offsets[new TopicPartition("t", 12)]);
        Assert.Equal(KeyValuePair.Create(78L, new ProducerFence(6, 7, 8, 1004)), Assert.Single(read.Fences));
        Assert.True(read.IsPending(new TopicPartition("u", 0)));
        // What is written next is the latest.
        var next = read.Pending.With(79, pending with
        {
            Offsets = pending.Offsets.Clear().Add(new TopicPartition("t", 1), new PendingOffset(TopicId, new CommittedOffset(1))),
        });
        Assert.Equal([3, 5], next.Of(new TopicPartition("t", 1)).Select(static offset => offset.Order));
    }

    [Fact]
    public void Pending_offsets_that_an_earlier_version_wrote_are_read()
    {
        var read = GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Offsets.Replace("\"pending\":[]", """
            "pending":[{"producerId":77,"topics":[{"topic":"t","topicId":"00000009-0000-0000-0000-000000000000","partitions":[
            {"partition":1,"offset":8,"committedAt":1002}]}]},{"producerId":78,"topics":[]}]
            """, StringComparison.Ordinal))).ToOffsets();
        Assert.Equal([77L], read.Pending.Transactions.Keys);
        Assert.Equal(8, Assert.Single(read.Pending.Of(new TopicPartition("t", 1))).Offset.Offset);
        Assert.True(read.EndTransaction(77, number: 1, isCommit: true).Pending.IsEmpty);
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
        GroupOffsetsDocument.Parse(Encoding.UTF8.GetBytes(Offsets.Replace("\"version\":1,", "\"version\":3,", StringComparison.Ordinal))));
}
