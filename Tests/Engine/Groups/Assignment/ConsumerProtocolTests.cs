using FsCheck.Fluent;
using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Engine.Groups.Assignment;

public class ConsumerProtocolTests
{
    private static readonly ConsumerSubscription Sample = new()
    {
        Topics = ["orders", "ä"],
        UserData = new byte[] { 1, 2 },
        OwnedPartitions = [new("orders", 0), new("orders", 2), new("ä", 1)],
        Generation = 7,
        RackId = "r1",
    };

    [Theory]
    // Hand-written from the schemas.
    [InlineData(0, "0000 00000002 0006 6f7264657273 0002 c3a4 00000002 0102")]
    [InlineData(1, "0001 00000002 0006 6f7264657273 0002 c3a4 00000002 0102 00000002 0006 6f7264657273 00000002 00000000 00000002 0002 "
        + "c3a4 00000001 00000001")]
    [InlineData(2, "0002 00000002 0006 6f7264657273 0002 c3a4 00000002 0102 00000002 0006 6f7264657273 00000002 00000000 00000002 0002 "
        + "c3a4 00000001 00000001 00000007")]
    [InlineData(3, "0003 00000002 0006 6f7264657273 0002 c3a4 00000002 0102 00000002 0006 6f7264657273 00000002 00000000 00000002 0002 "
        + "c3a4 00000001 00000001 00000007 0002 7231")]
    public void Subscription_has_the_bytes_of_its_version(short version, string hex)
    {
        var bytes = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal(bytes, ConsumerProtocol.Encode(Sample, version));
        Assert.True(ConsumerProtocol.TryDecodeSubscription(bytes, out var read, out _));
        Assert.Equal(Sample.Topics, read.Topics);
        Assert.Equal(Sample.UserData!.Value.ToArray(), read.UserData!.Value.ToArray());
        Assert.Equal(version >= 1 ? Sample.OwnedPartitions : [], read.OwnedPartitions);
        Assert.Equal(version >= 2 ? 7 : -1, read.Generation);
        Assert.Equal(version >= 3 ? "r1" : null, read.RackId);
    }

    [Fact]
    public void Assignment_has_its_bytes_and_empty_bytes_are_an_empty_assignment()
    {
        var bytes = ConsumerProtocol.Encode(new ConsumerAssignment([new("a", 3), new("a", 1)]), version: 1);
        Assert.Equal("000100000001000161000000020000000100000003FFFFFFFF", Convert.ToHexString(bytes));
        Assert.True(ConsumerProtocol.TryDecodeAssignment(bytes, out var read, out _));
        Assert.Equal([new("a", 1), new("a", 3)], read.Partitions);
        Assert.Null(read.UserData);
        Assert.True(ConsumerProtocol.TryDecodeAssignment(ReadOnlyMemory<byte>.Empty, out read, out _));
        Assert.Empty(read.Partitions);
    }

    [Fact]
    public void Newer_version_is_read_up_to_the_known_fields()
    {
        byte[] bytes = [.. ConsumerProtocol.Encode(Sample), 9, 9, 9];
        bytes[1] = 9;
        Assert.True(ConsumerProtocol.TryDecodeSubscription(bytes, out var read, out _));
        Assert.Equal("r1", read.RackId);
        Assert.Equal(9, ConsumerProtocol.VersionOf(bytes));
    }

    [Theory]
    [InlineData("", "version")]
    [InlineData("FFFF", "version")]
    [InlineData("0000 7FFFFFFF", "topics")]
    [InlineData("0000 FFFFFFFF", "topics")]
    [InlineData("0000 00000001 FFFF", "topics")]
    [InlineData("0000 00000001 0002 C328 FFFFFFFF", "UTF-8")]
    [InlineData("0000 00000000 FFFFFFFE", "userData")]
    [InlineData("0000 00000000 00000003 0102", "userData")]
    [InlineData("0001 00000000 FFFFFFFF 00000001 0001 61 00000001 FFFFFFFF", "ownedPartitions")]
    [InlineData("0002 00000000 FFFFFFFF 00000000 0000", "generationId")]
    [InlineData("0003 00000000 FFFFFFFF 00000000 00000001 0005 6161", "rackId")]
    public void Malformed_bytes_are_an_error_that_names_the_field(string hex, string field)
    {
        Assert.False(ConsumerProtocol.TryDecodeSubscription(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)),
            out var read, out var error));
        Assert.Null(read);
        Assert.Contains(field, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Truncated_bytes_are_an_error_at_any_length()
    {
        var bytes = ConsumerProtocol.Encode(Sample);
        for (var length = 0; length < bytes.Length; length++)
            Assert.False(ConsumerProtocol.TryDecodeSubscription(bytes.AsMemory(0, length), out _, out _));
    }

    [Fact]
    public void Arbitrary_bytes_never_throw()
    {
        var any = ArbMap.Default.GeneratorFor<byte[]>();
        var damaged = from position in Gen.Choose(0, ConsumerProtocol.Encode(Sample).Length - 1)
                      from value in Gen.Choose(0, 255)
                      select Damage(ConsumerProtocol.Encode(Sample), position, (byte)value);
        Properties.ForAll(Gen.OneOf(any, damaged), bytes =>
        {
            var read = ConsumerProtocol.TryDecodeSubscription(bytes, out var subscription, out var error);
            Assert.Equal(read, subscription is not null && error is null);
            Assert.Equal(!read, error is not null);
            _ = ConsumerProtocol.TryDecodeAssignment(bytes, out _, out _);
            _ = StickyUserData.Decode(bytes);
        }, count: 2000);
    }

    [Fact]
    public void Subscription_that_cannot_be_encoded_is_refused()
    {
        Assert.Throws<ArgumentException>(() => ConsumerProtocol.Encode(new ConsumerSubscription { Topics = [new string('x', 40_000)] }));
        Assert.Throws<ArgumentOutOfRangeException>(() => ConsumerProtocol.Encode(Sample, version: 4));
    }

    [Fact]
    public void Sticky_user_data_of_old_and_new_clients_is_read()
    {
        var bytes = StickyUserData.Encode([new("a", 1)], generation: 3);
        Assert.Equal("000000010001610000000100000001" + "00000003", Convert.ToHexString(bytes));
        var (partitions, generation) = StickyUserData.Decode(bytes);
        Assert.Equal([new("a", 1)], partitions);
        Assert.Equal(3, generation);
        (partitions, generation) = StickyUserData.Decode(bytes.AsMemory(0, bytes.Length - 4));
        Assert.Equal([new("a", 1)], partitions);
        Assert.Equal(-1, generation);
        Assert.Equal(3, StickyUserData.Decode(StickyUserData.Encode(3)).Generation);
        Assert.Empty(StickyUserData.Decode(new byte[] { 1 }).Partitions);
    }

    [Fact]
    public void Leader_assigns_to_members_it_can_read()
    {
        Assert.True(ClientAssignors.TryGet("cooperative-sticky", out var assignor));
        var joined = ClientAssignors.Read(assignor, [
            new JoinedMember("b", null, ClientAssignors.Offer(assignor, assignor.Subscribe(["t"], [new("t", 0)], 4)).Metadata),
            new JoinedMember("a", "i", ClientAssignors.Offer(assignor, assignor.Subscribe(["t", "u"], [], -1)).Metadata),
            new JoinedMember("c", null, new byte[] { 0 })]);
        Assert.Equal("c", Assert.Single(joined.Unreadable).MemberId);
        Assert.Equal(["t", "u"], joined.Topics.Order());
        Assert.Equal(4, joined.Members[0].Generation);
        var assigned = ClientAssignors.Assign(assignor, joined, [new AssignmentTopic("t", 2)]);
        Assert.Equal(["a: t-1", "b: t-0"], assigned.Select(member => $"{member.MemberId}: {Partitions(member)}"));
    }

    private static string Partitions(MemberAssignment member)
    {
        Assert.True(ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _));
        return string.Join(' ', assignment.Partitions);
    }

    private static byte[] Damage(byte[] bytes, int position, byte value)
    {
        bytes[position] = value;
        return bytes;
    }
}
