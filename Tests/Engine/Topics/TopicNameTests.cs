using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Topics;

public sealed class TopicNameTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("orders")]
    [InlineData("Orders.v1_new-2")]
    [InlineData("...")]
    [InlineData("__consumer_offsets")]
    public void Names_allowed_by_Kafka_are_allowed(string name) => Assert.Null(TopicName.Validate(name));

    [Theory]
    [InlineData(null, "empty")]
    [InlineData("", "empty")]
    [InlineData(".", "'.'")]
    [InlineData("..", "'..'")]
    [InlineData("a b", "' '")]
    [InlineData("a/b", "'/'")]
    [InlineData("größe", "'ö'")]
    [InlineData("a\0", "contains")]
    public void Invalid_names_are_refused_with_the_problem_and_the_rule(string? name, string wrong)
    {
        var message = TopicName.Validate(name);
        Assert.Contains(wrong, message);
        Assert.Contains("Allowed are", message);
    }

    [Fact]
    public void Longest_name_has_249_characters()
    {
        Assert.Null(TopicName.Validate(new string('x', 249)));
        Assert.Contains("250", TopicName.Validate(new string('x', 250)));
    }

    [Theory]
    [InlineData("a.b", "a_b", true)]
    [InlineData("a.b_c", "a_b.c", true)]
    [InlineData("a.b", "a.b", true)]
    [InlineData("a.b", "a-b", false)]
    [InlineData("a.b", "a.bc", false)]
    public void Names_collide_where_dot_and_underscore_differ(string one, string other, bool collide) =>
        Assert.Equal(collide, TopicName.Collide(one, other));
}
