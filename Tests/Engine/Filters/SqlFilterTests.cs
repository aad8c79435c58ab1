using System.Text;
using OrleansMq.Filters;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Filters;

public sealed class SqlFilterTests
{
    // The headers of each case: a number, a larger one, a fraction, a text, a truth value, an empty text.
    private static readonly string[] Headers =
        ["n=3", "m=10", "f=2.50", "t=it's", "yes=True", "empty=", "x-y=9", "like=1", "Case=1", "uni=größe", "dup=1", "dup=2"];

    [Theory]
    // Numbers compare by value, and a text that is none makes the comparison unknown.
    [InlineData("n = 3", true)]
    [InlineData("n = 3.0", true)]
    [InlineData("n = +3L", true)]
    [InlineData("3 = n", true)]
    [InlineData("n <> 4", true)]
    [InlineData("m > 9", true)]
    [InlineData("f = 2.5 AND f < 2.51 AND f >= 25e-1 AND f > -.5 AND f < 3.", true)]
    [InlineData("t = 3", false)]
    [InlineData("NOT (t = 3)", false)]
    [InlineData("t <> 3", false)]
    [InlineData("t = 3 OR n = 3", true)]
    [InlineData("empty = 0", false)]
    // Texts compare byte by byte.
    [InlineData("n = '3'", true)]
    [InlineData("n = '3.0'", false)]
    [InlineData("n <> '3.0'", true)]
    [InlineData("t = 'it''s'", true)]
    [InlineData("t = 'IT''S'", false)]
    [InlineData("empty = ''", true)]
    // Truth values.
    [InlineData("yes", true)]
    [InlineData("yes = TRUE", true)]
    [InlineData("n = FALSE", true)]
    [InlineData("n", false)]
    [InlineData("NOT n", true)]
    [InlineData("missing = FALSE", false)]
    [InlineData("TRUE", true)]
    [InlineData("NULL", false)]
    [InlineData("NOT NULL", false)]
    [InlineData("NULL OR TRUE", true)]
    [InlineData("NULL AND FALSE OR TRUE", true)]
    // Headers with each other.
    [InlineData("n < m", true)]
    [InlineData("n = m", false)]
    [InlineData("n = n", true)]
    [InlineData("n < t", false)]
    [InlineData("NOT n < t", false)]
    // Missing headers.
    [InlineData("missing IS NULL", true)]
    [InlineData("n IS NULL", false)]
    [InlineData("n IS NOT NULL", true)]
    [InlineData("empty IS NOT NULL", true)]
    [InlineData("missing = 3", false)]
    [InlineData("missing <> 3", false)]
    [InlineData("NOT (missing = 3)", false)]
    [InlineData("missing", false)]
    [InlineData("NOT missing", false)]
    // Ranges and lists.
    [InlineData("n BETWEEN 3 AND 3", true)]
    [InlineData("n NOT BETWEEN 4 AND 5", true)]
    [InlineData("n BETWEEN 2 AND m AND m NOT BETWEEN n AND 9", true)]
    [InlineData("t BETWEEN 2 AND 4", false)]
    [InlineData("t NOT BETWEEN 2 AND 4", false)]
    [InlineData("n IN ('2', '3')", true)]
    [InlineData("n NOT IN ('2', '3')", false)]
    [InlineData("missing NOT IN ('2', '3')", false)]
    // Patterns.
    [InlineData("t LIKE 'it%'", true)]
    [InlineData("t LIKE '%''_'", true)]
    [InlineData("t NOT LIKE 'it'", true)]
    [InlineData("t LIKE 'i_!_' ESCAPE '!'", false)]
    [InlineData("uni LIKE 'gr__e'", true)]
    [InlineData("uni LIKE 'gr___e'", false)]
    [InlineData("uni LIKE '%_ß_'", true)]
    [InlineData("empty LIKE '%'", true)]
    [InlineData("empty LIKE ''", true)]
    [InlineData("empty LIKE '_'", false)]
    [InlineData("missing LIKE '%'", false)]
    [InlineData("missing NOT LIKE '%'", false)]
    [InlineData("t CONTAINS 't''' AND t STARTSWITH 'it' AND t ENDSWITH '''s'", true)]
    [InlineData("t NOT CONTAINS 'x' AND t NOT STARTSWITH 'x' AND t NOT ENDSWITH 'x'", true)]
    [InlineData("missing NOT CONTAINS 'x'", false)]
    [InlineData("NOT (missing CONTAINS 'x')", true)]
    [InlineData("t CONTAINS ''", false)]
    [InlineData("t NOT CONTAINS ''", false)]
    // Precedence and spelling.
    [InlineData("NOT n = 4", true)]
    [InlineData("n = 3 OR n = 4 AND FALSE", true)]
    [InlineData("(n = 3 OR n = 4) AND FALSE", false)]
    [InlineData("n=3/* all */and m=10-- the rest\nor false", true)]
    [InlineData("\"x-y\" = 9", true)]
    [InlineData("like like '1' and LIKE IS NULL", true)]
    [InlineData("case = 1", false)]
    [InlineData("Case = 1", true)]
    [InlineData("dup = 2", true)]
    [InlineData("dup = 1", false)]
    // Integers are exact, also beyond the integers of a double.
    [InlineData("9007199254740993 = 9007199254740992", false)]
    [InlineData("9007199254740993 > 9007199254740992.0", true)]
    [InlineData("-9223372036854775808 < 9223372036854775807", true)]
    [InlineData("9223372036854775808 > 9223372036854775807", true)]
    public void Expression_matches(string expression, bool matches)
    {
        Assert.Equal(matches, FilterRig.Matches(expression, Headers));
        var printed = SqlFilter.Parse(expression).ToString();
        Assert.Equal(matches, FilterRig.Matches(printed, Headers));
        Assert.Equal(printed, SqlFilter.Parse(printed).ToString());
    }

    [Theory]
    [InlineData("", 1, "header's name or a literal")]
    [InlineData("n =", 4, "found the end")]
    [InlineData("n = = 3", 5, "'='")]
    [InlineData("n = 3 m", 7, "AND, OR or the end")]
    [InlineData("3", 2, "comparison")]
    [InlineData("n = 'x", 5, "does not end")]
    [InlineData("\"\" = 3", 1, "between the double quotes")]
    [InlineData("\"n = 3", 1, "does not end")]
    [InlineData("n > 'x'", 1, "compares numbers")]
    [InlineData("n >= TRUE", 1, "compares numbers")]
    [InlineData("n = NULL", 5, "IS NULL")]
    [InlineData("3 = 'x'", 1, "cannot be compared")]
    [InlineData("n IN (3)", 7, "single quotes")]
    [InlineData("n IN ()", 7, "single quotes")]
    [InlineData("n IN ('3'", 10, "','")]
    [InlineData("3 IN ('3')", 1, "header's name before 'IN'")]
    [InlineData("n NOT IS NULL", 7, "BETWEEN")]
    [InlineData("n IS 3", 6, "NULL or NOT NULL")]
    [InlineData("n BETWEEN 10 AND 0", 11, "lower bound")]
    [InlineData("n BETWEEN 'a' AND 'b'", 1, "BETWEEN compares numbers")]
    [InlineData("n BETWEEN 1 OR 2", 13, "upper bound")]
    [InlineData("n LIKE 3", 8, "single quotes")]
    [InlineData("n LIKE 'a!b' ESCAPE '!'", 8, "character 2")]
    [InlineData("n LIKE 'a' ESCAPE 'ab'", 19, "one character")]
    [InlineData("n = - m", 7, "number behind the sign")]
    [InlineData("n = 3x", 6, "blank or an operator")]
    [InlineData("n = 3e", 7, "exponent")]
    [InlineData("n = .", 5, "digit")]
    [InlineData("n = 1e999", 5, "too large")]
    [InlineData("n ? 3", 3, "'?' is no part")]
    [InlineData("n /* 3", 3, "comment does not end")]
    [InlineData("(n = 3", 7, "')'")]
    [InlineData("SELECT * FROM n", 8, "'*' is no part")]
    [InlineData("a and between 2 and 10", 7, "header's name or a literal")]
    public void Wrong_text_is_refused_at_its_column(string expression, int column, string message)
    {
        var refused = Assert.Throws<FilterSyntaxException>(() => SqlFilter.Parse(expression));
        Assert.Equal(column, refused.Column);
        Assert.StartsWith($"Column {column}: ", refused.Message);
        Assert.Contains(message, refused.Message);
    }

    [Fact]
    public void Text_beyond_the_bounds_or_with_half_characters_is_refused()
    {
        Refused("n = 3" + new string(' ', FilterLimits.MaxLength), "characters");
        Refused(new string('(', 5_000) + "n" + new string(')', 3_000), "nest deeper");
        Refused(string.Concat(Enumerable.Repeat("NOT ", 2_000)) + "n", "nest deeper");
        Refused(string.Join(" OR ", Enumerable.Repeat("n", FilterLimits.MaxTerms + 1)), "conditions and items");
        Refused($"n IN ({string.Join(",", Enumerable.Repeat("''", FilterLimits.MaxTerms + 1))})", "conditions and items");
        Refused(string.Join(" OR ", Enumerable.Range(0, FilterLimits.MaxHeaders + 1).Select(i => $"n{i}")), "different names");
        Refused($"n LIKE '{new string('a', FilterLimits.MaxPatternBytes + 1)}'", "patterns");
        Refused("n = '\ud800'", "Column 6: half of a character");
        Refused($"n = {new string('1', FilterLimits.MaxNumberBytes + 1)}", "number");

        SqlFilter.Parse(new string('(', FilterLimits.MaxDepth) + "n" + new string(')', FilterLimits.MaxDepth));
        SqlFilter.Parse(string.Join(" OR ", Enumerable.Repeat("n", FilterLimits.MaxTerms)));

        static void Refused(string text, string message) =>
            Assert.Contains(message, Assert.Throws<FilterSyntaxException>(() => SqlFilter.Parse(text)).Message);
    }

    [Fact]
    public void Worst_patterns_end_in_time()
    {
        // Every byte of the value begins a part that fails at its last character, for as many parts as are allowed.
        var value = new string('a', FilterLimits.MaxSearchedBytes);
        var part = new string('a', 250) + "_" + "b";
        var filter = SqlFilter.Parse(string.Join(" OR ", Enumerable.Repeat($"n LIKE '%{part}%'", 4)));
        var record = FilterRig.RecordOf(("n", value));
        var watch = System.Diagnostics.Stopwatch.StartNew();
        Assert.False(filter.Matches(record));
        Assert.False(SqlFilter.Parse($"n LIKE '{string.Concat(Enumerable.Repeat("%a", 500))}b'").Matches(record));
        // An idle machine takes a small part of it; an exponential search does not end.
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"took {watch.Elapsed}");
    }

    [Fact]
    public void Value_beyond_the_bound_is_not_searched()
    {
        var record = FilterRig.RecordOf(("n", new string('a', FilterLimits.MaxSearchedBytes + 1)));
        Assert.False(SqlFilter.Parse("n LIKE '%'").Matches(record));
        Assert.False(SqlFilter.Parse("n NOT LIKE '%b%'").Matches(record));
        Assert.False(SqlFilter.Parse("n NOT CONTAINS 'b'").Matches(record));
        Assert.True(SqlFilter.Parse("n STARTSWITH 'a' AND n ENDSWITH 'a'").Matches(record));
    }

    [Fact]
    public void Null_value_is_a_missing_header()
    {
        var record = FilterRig.RecordOf(("n", "1"), ("n", null));
        Assert.True(SqlFilter.Parse("n IS NULL").Matches(record));
        Assert.False(SqlFilter.Parse("n = 1").Matches(record));
    }

    [Fact]
    public void Values_that_are_no_text_are_compared_as_bytes()
    {
        var record = FilterRig.RecordOf([new RecordHeader(Encoding.UTF8.GetBytes("n"), new byte[] { 0xFF, 0x00, 0x80 })]);
        Assert.True(SqlFilter.Parse("n LIKE '___'").Matches(record));
        Assert.False(SqlFilter.Parse("n LIKE '__'").Matches(record));
        Assert.False(SqlFilter.Parse("n = 0").Matches(record));
        Assert.True(SqlFilter.Parse("n <> 'x'").Matches(record));
    }

    [Fact]
    public void Names_may_stand_for_other_headers()
    {
        var filter = SqlFilter.Parse("TAGS IN ('a', 'b') AND n = 1", name => name == "TAGS" ? "mq.tags" : name);
        Assert.True(filter.Matches(FilterRig.RecordOf(("mq.tags", "b"), ("n", "1"))));
        Assert.False(filter.Matches(FilterRig.RecordOf(("TAGS", "b"), ("n", "1"))));
        Assert.StartsWith("(TAGS IN", filter.ToString());
    }

    [Fact]
    public void Evaluation_allocates_nothing()
    {
        var filter = SqlFilter.Parse("n > 2.5 AND t LIKE '%x_y%' AND (m IN ('a', 'b') OR u CONTAINS 'z') AND missing IS NULL AND yes");
        var record = FilterRig.RecordOf(("n", "3.5"), ("t", "axäyb"), ("m", "b"), ("u", "q"), ("yes", "true"));
        Assert.True(filter.Matches(record));
        Assert.Equal(0, Allocations.Of(() => filter.Matches(record)));
    }

    [Fact]
    public void Malformed_headers_are_a_fault()
    {
        Assert.Throws<RecordBatchException>(() => SqlFilter.Parse("n").Matches([2, 110], 1));
        Assert.Throws<RecordBatchException>(() => TagFilter.Parse("a", "n").Matches([2, 110, 100], 1));
    }
}
