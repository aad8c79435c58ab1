using System.Globalization;
using OrleansMq.Schedules;

namespace OrleansMq.Tests.Engine.Schedules;

public sealed class RepetitionTests
{
    [Theory]
    [InlineData("0 9 * * MON-FRI", "UTC", "2026-05-01T08:59:59.999Z", "2026-05-01T09:00:00Z", "2026-05-04T09:00:00Z")]
    [InlineData("0 9 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z")]
    [InlineData("*/10 * * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", "2026-01-01T00:00:20Z")]
    [InlineData("0 0 1 1 *", "UTC", "2026-01-01T00:00:00.001Z", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z")]
    [InlineData("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z")]
    // Half past two does not exist on 29 March, and comes twice on 25 October.
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z")]
    [InlineData("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")]
    // An interval goes on in both hours.
    [InlineData("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z")]
    [InlineData("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z")]
    public void Firings_follow_the_clock_of_the_zone(string cron, string zone, string after, string first, string second)
    {
        var repetition = Repetition.Parse(cron, zone);
        Assert.Equal(At(first), repetition.NextAfter(At(after)));
        Assert.Equal(At(first), repetition.NextAt(At(after) + 1));
        Assert.Equal(At(first), repetition.NextAt(At(first)));
        Assert.Equal(At(second), repetition.NextAfter(At(first)));
    }

    [Theory]
    [InlineData("* * * *", "UTC", "5 fields")]
    [InlineData("* * * * * * *", "UTC", "7 fields")]
    [InlineData("", "UTC", "0 fields")]
    [InlineData("@daily", "UTC", "1 fields")]
    [InlineData("61 * * * *", "UTC", "Minutes")]
    [InlineData("H * * * *", "UTC", "'H * * * *' is not valid")]
    [InlineData("* * * * SAX", "UTC", "'* * * * SAX' is not valid")]
    [InlineData("* * * * *", "Mars/Olympus", "Europe/Berlin")]
    [InlineData("* * * * *", "", "Europe/Berlin")]
    public void Error_names_what_is_wrong_and_what_is_expected(string cron, string zone, string expected) =>
        Assert.Contains(expected, Assert.Throws<FormatException>(() => Repetition.Parse(cron, zone)).Message, StringComparison.Ordinal);

    [Fact]
    public void Expression_that_no_date_matches_has_no_firing_and_a_long_one_is_refused()
    {
        Assert.Null(Repetition.Parse("0 0 30 2 *", "UTC").NextAt(0));
        Assert.Throws<FormatException>(() => Repetition.Parse($"0{string.Concat(Enumerable.Repeat(",0", 300))} * * * *", "UTC"));
    }

    private static long At(string time) => DateTimeOffset.Parse(time, CultureInfo.InvariantCulture).ToUnixTimeMilliseconds();
}
