using System.Text;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Which grain a record's key names.</summary>
public sealed class GrainKeysTests
{
    private static readonly Guid Id = new("0f8fad5b-d9cb-469f-a165-70867728950e");

    [Fact]
    public void Text_is_the_key_of_a_grain_byte_for_byte() => Assert.Equal(IdSpan.Create("Zoë+1"), Get(GrainKeyKind.Text, "Zoë+1"));

    [Theory]
    [InlineData("0f8fad5b-d9cb-469f-a165-70867728950e")]
    [InlineData("0f8fad5bd9cb469fa16570867728950e")]
    public void Uuid_is_read_with_hyphens_and_without(string key) =>
        Assert.Equal(GrainIdKeyExtensions.CreateGuidKey(Id), Get(GrainKeyKind.Guid, key));

    [Theory]
    [InlineData("17", 17)]
    [InlineData("-9223372036854775808", long.MinValue)]
    public void Integer_is_read_in_decimal(string key, long expected) =>
        Assert.Equal(GrainIdKeyExtensions.CreateIntegerKey(expected), Get(GrainKeyKind.Integer, key));

    [Fact]
    public void Compound_keys_have_their_extension_behind_a_plus()
    {
        Assert.Equal(GrainIdKeyExtensions.CreateIntegerKey(17, "a+b"), Get(GrainKeyKind.IntegerCompound, "17+a+b"));
        Assert.Equal(GrainIdKeyExtensions.CreateGuidKey(Id, "ë"), Get(GrainKeyKind.GuidCompound, $"{Id}+ë"));
        Assert.Equal(GrainIdKeyExtensions.CreateGuidKey(Id, "ë"), Get(GrainKeyKind.GuidCompound,
            [.. Id.ToByteArray(bigEndian: true), .. Encoding.UTF8.GetBytes("ë")], RecordKeyFormat.BigEndian));
        Assert.Equal(GrainIdKeyExtensions.CreateIntegerKey(1, "x"), Get(GrainKeyKind.IntegerCompound, [0, 0, 0, 0, 0, 0, 0, 1, (byte)'x'],
            RecordKeyFormat.BigEndian));
    }

    [Fact]
    public void Numbers_of_Kafkas_serializers_are_read_where_the_class_says_so()
    {
        Assert.Equal(GrainIdKeyExtensions.CreateIntegerKey(258), Get(GrainKeyKind.Integer, [0, 0, 1, 2], RecordKeyFormat.BigEndian));
        Assert.Equal(GrainIdKeyExtensions.CreateIntegerKey(-1),
            Get(GrainKeyKind.Integer, [255, 255, 255, 255, 255, 255, 255, 255], RecordKeyFormat.BigEndian));
        Assert.Equal(GrainIdKeyExtensions.CreateGuidKey(Id), Get(GrainKeyKind.Guid, Id.ToByteArray(bigEndian: true),
            RecordKeyFormat.BigEndian));
    }

    [Fact]
    public void Other_keys_are_keys_of_no_grain()
    {
        Assert.Null(Get(GrainKeyKind.Text, [0xC3], RecordKeyFormat.Text));
        Assert.Null(Get(GrainKeyKind.Text, ""));
        Assert.Null(Get(GrainKeyKind.Guid, "customer-7"));
        Assert.Null(Get(GrainKeyKind.Guid, $"{Id}+x"));
        Assert.Null(Get(GrainKeyKind.Integer, "9223372036854775808"));
        Assert.Null(Get(GrainKeyKind.Integer, " 7"));
        Assert.Null(Get(GrainKeyKind.Integer, "7+x"));
        Assert.Null(Get(GrainKeyKind.Text, new string('k', GrainKeys.MaxLength + 1)));
        Assert.NotNull(Get(GrainKeyKind.Text, new string('k', GrainKeys.MaxLength)));
        Assert.Null(Get(GrainKeyKind.IntegerCompound, "7"));
        Assert.Null(Get(GrainKeyKind.IntegerCompound, [0, 0, 0, 7], RecordKeyFormat.BigEndian));
        Assert.Null(Get(GrainKeyKind.IntegerCompound, [0, 0, 0, 0, 0, 0, 0, 7, 0xC3], RecordKeyFormat.BigEndian));
        Assert.Null(Get(GrainKeyKind.Integer, [0, 7], RecordKeyFormat.BigEndian));
    }

    [Theory]
    [InlineData(nameof(GrainKeyKind.Integer), "07")]
    [InlineData(nameof(GrainKeyKind.Integer), "+7")]
    [InlineData(nameof(GrainKeyKind.Integer), "-0")]
    [InlineData(nameof(GrainKeyKind.IntegerCompound), "07+x")]
    [InlineData(nameof(GrainKeyKind.IntegerCompound), "7+ ")]
    [InlineData(nameof(GrainKeyKind.Guid), "0F8FAD5B-D9CB-469F-A165-70867728950E")]
    [InlineData(nameof(GrainKeyKind.Guid), "0F8FAD5BD9CB469FA16570867728950E")]
    [InlineData(nameof(GrainKeyKind.GuidCompound), "0f8fad5b-d9cb-469f-a165-70867728950e+ ")]
    public void Second_way_to_write_a_key_is_the_key_of_no_grain(string kind, string key) =>
        Assert.Null(Get(Enum.Parse<GrainKeyKind>(kind), key));

    [Theory]
    [InlineData(nameof(GrainKeyKind.Text), "a\0")]
    [InlineData(nameof(GrainKeyKind.IntegerCompound), "7+\0a")]
    public void Key_with_a_character_that_storages_refuse_is_the_key_of_no_grain(string kind, string key) =>
        Assert.Null(Get(Enum.Parse<GrainKeyKind>(kind), key));

    private static IdSpan? Get(GrainKeyKind kind, string key) => Get(kind, Encoding.UTF8.GetBytes(key), RecordKeyFormat.Text);

    private static IdSpan? Get(GrainKeyKind kind, byte[] key, RecordKeyFormat format) =>
        new GrainKeys(kind, format).TryGet(key, out var grain) ? grain : null;
}
