using OrleansMq.Filters;

namespace OrleansMq.Tests.Engine.Filters;

public sealed class TagFilterTests
{
    [Theory]
    [InlineData(null, "a", true)]
    [InlineData("", null, true)]
    [InlineData("*", null, true)]
    [InlineData("a", "a", true)]
    [InlineData("a", "b", false)]
    [InlineData("a", null, false)]
    [InlineData("a", "A", false)]
    [InlineData(" a||b ", "b", true)]
    [InlineData("a || || b", "b", true)]
    [InlineData("a | b", "a | b", true)]
    [InlineData("a || *", "b", false)]
    [InlineData("größe", "größe", true)]
    public void Tags_match(string? expression, string? tag, bool matches)
    {
        var filter = TagFilter.Parse(expression, "tags");
        var record = tag is null ? FilterRig.RecordOf(("other", "a")) : FilterRig.RecordOf(("other", "a"), ("tags", tag));
        Assert.Equal(matches, filter.Matches(record));
        Assert.Equal(matches, TagFilter.Parse(filter.ToString(), "tags").Matches(record));
    }

    [Fact]
    public void Last_tag_of_a_record_counts() =>
        Assert.True(TagFilter.Parse("b", "tags").Matches(FilterRig.RecordOf(("tags", "a"), ("tags", "b"))));

    [Fact]
    public void Expressions_without_tags_or_beyond_the_bounds_are_refused()
    {
        Assert.Throws<FilterSyntaxException>(() => TagFilter.Parse("||", "tags"));
        Assert.Throws<FilterSyntaxException>(() => TagFilter.Parse(" ", "tags"));
        Assert.Throws<FilterSyntaxException>(() => TagFilter.Parse(new string('a', FilterLimits.MaxLength + 1), "tags"));
        Assert.Throws<FilterSyntaxException>(() =>
            TagFilter.Parse(string.Join("||", Enumerable.Range(0, FilterLimits.MaxTerms + 1)), "tags"));
    }
}
