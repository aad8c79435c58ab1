using System.Text;
using OrleansMq.Filters;
using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Engine.Filters;

public sealed class KeyFilterTests
{
    [Theory]
    [InlineData("KEY() = 'customer-7'", "customer-7", true)]
    [InlineData("KEY() = 'customer-7'", "customer-70", false)]
    [InlineData("KEY() = 'customer-7'", null, false)]
    [InlineData("KEY() = ''", "", true)]
    [InlineData("KEY() = ''", null, false)]
    [InlineData(" key ( ) = 'it''s' ", "it's", true)]
    [InlineData("KEY() = X'6162'", "ab", true)]
    [InlineData("KEY() = x'6Fc3a4'", "oä", true)]
    public void Key_matches(string text, string? key, bool matches)
    {
        var filter = RecordFilter.Parse(text);
        Assert.Equal(matches, filter.Matches(RecordOf(key is null ? null : Encoding.UTF8.GetBytes(key))));
        Assert.Equal(matches, RecordFilter.Parse(filter.ToString()!).Matches(RecordOf(key is null ? null : Encoding.UTF8.GetBytes(key))));
    }

    [Fact]
    public void Text_of_any_key_matches_that_key_alone()
    {
        var key = new byte[256];
        for (var i = 0; i < key.Length; i++)
            key[i] = (byte)i;
        var filter = RecordFilter.Parse(KeyFilter.TextOf(key));
        Assert.True(filter.Matches(RecordOf(key)));
        key[200]++;
        Assert.False(filter.Matches(RecordOf(key)));
    }

    [Theory]
    [InlineData("KEY() = customer", 9)]
    [InlineData("KEY() <> 'a'", 7)]
    [InlineData("KEY(a) = 'a'", 5)]
    [InlineData("KEY() = X'6'", 10)]
    [InlineData("KEY() = X'zz'", 10)]
    [InlineData("KEY() = 'a' AND b = 'c'", 13)]
    [InlineData("KEY() = 'a", 9)]
    public void Wrong_text_is_refused_with_its_column(string text, int column) =>
        Assert.Equal(column, Assert.Throws<FilterSyntaxException>(() => RecordFilter.Parse(text)).Column);

    [Fact]
    public void Text_that_is_too_long_is_refused() =>
        Assert.Throws<FilterSyntaxException>(() => RecordFilter.Parse($"KEY() = '{new string('a', FilterLimits.MaxLength)}'"));

    [Fact]
    public void Header_with_that_name_is_still_a_header()
    {
        var filter = RecordFilter.Parse("key = 'a'");
        Assert.True(filter.Matches(FilterRig.RecordOf(("key", "a"))));
        Assert.False(filter.Matches(RecordOf("a"u8.ToArray())));
    }

    // A broker of a version without this filter does not take it for another one.
    [Fact]
    public void Condition_over_headers_is_never_a_text_of_it() =>
        Assert.Throws<FilterSyntaxException>(() => SqlFilter.Parse(KeyFilter.TextOf("a"u8)));

    private static Record RecordOf(byte[]? key)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(0, key, hasKey: key is not null, "value"u8, hasValue: true, []);
        using var reader = new RecordReader(builder.Build().ToArray(), CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        return reader.Current;
    }
}
