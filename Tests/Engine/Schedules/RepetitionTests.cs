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

    // These zones save in winter: in Dublin as in London, in Casablanca and El Aaiun during Ramadan.
    [Theory]
    [InlineData("0 * * * *", "Europe/Dublin", "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z")]
    [InlineData("*/15 * * * *", "Europe/Dublin", "2027-03-28T00:45:00Z", "2027-03-28T01:00:00Z")]
    [InlineData("30 1 * * *", "Europe/Dublin", "2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z")]
    [InlineData("0 * * * *", "Europe/Dublin", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z")]
    [InlineData("30 1 * * *", "Europe/Dublin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")]
    [InlineData("0 * * * *", "Africa/Casablanca", "2026-02-15T02:00:00Z", "2026-02-15T03:00:00Z")]
    [InlineData("30 2 * * *", "Africa/El_Aaiun", "2026-03-21T12:00:00Z", "2026-03-22T02:00:00Z")]
    // Behind the years for which the data has a table.
    [InlineData("0 * * * *", "Europe/Dublin", "2045-03-26T00:00:00Z", "2045-03-26T01:00:00Z")]
    [InlineData("0 9 * * *", "Europe/Dublin", "2045-06-30T12:00:00Z", "2045-07-01T08:00:00Z")]
    [InlineData("0 9 * * *", "Europe/Dublin", "2045-01-30T12:00:00Z", "2045-01-31T09:00:00Z")]
    [InlineData("0 * * * *", "Europe/Dublin", "2045-10-29T00:00:00Z", "2045-10-29T01:00:00Z")]
    public void Zones_that_save_in_winter_are_no_exception(string cron, string zone, string after, string next) =>
        Assert.Equal(At(next), Repetition.Parse(cron, zone).NextAfter(At(after)));

    [Fact]
    public void Expression_that_says_an_interval_fires_in_both_hours_and_one_that_lists_times_in_the_first()
    {
        var (begin, end) = (At("2026-10-25T00:00:00Z"), At("2026-10-25T04:00:00Z"));
        (string Cron, int Firings)[] expected = [("0 0,1,2,3,4 * * *", 3), ("0 0-4 * * *", 4), ("0 * * * *", 4), ("0,30 1,2,3 * * *", 4),
            ("0,30 1-3 * * *", 6), ("*/15 2 * * *", 8), ("0,15,30,45 2 * * *", 4), ("0 0 2 * * SUN-MON", 1), ("0-1 0 2 * * *", 4)];
        Assert.All(expected, one => Assert.Equal(one.Firings, FiringsOf(Repetition.Parse(one.Cron, "Europe/Berlin"), begin - 1, end).Count(
            at => at < end)));
    }

    // From two days before to two days behind each change of the clock, the firings are those that a walk over all minutes finds.
    [Fact]
    public void Firings_around_each_change_of_a_clock_ascend_and_are_those_of_a_walk_over_the_minutes()
    {
        string[] crons = ["* * * * *", "*/15 * * * *", "0 * * * *", "30 1 * * *", "30 2 * * *", "0,30 0,1,2,3 * * *", "15 0 * * SUN",
            "59 23 L * *"];
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        string[] always = ["Europe/Dublin", "Africa/Casablanca", "Africa/El_Aaiun", "Australia/Lord_Howe", "America/New_York"];
        var walked = always.Concat(random.GetItems(TimeZoneInfo.GetSystemTimeZones().Select(zone => zone.Id).ToArray(), 3)).ToHashSet();
        var matches = new Dictionary<(string, long), bool>();
        var (changes, wrong) = (0, new List<string>());
        foreach (var id in TimeZoneInfo.GetSystemTimeZones().Select(zone => zone.Id).Union(always))
        {
            var repetitions = Array.ConvertAll(crons, cron => Repetition.Parse(cron, id));
            foreach (var change in ChangesOf(TimeZoneInfo.FindSystemTimeZoneById(id)))
            {
                changes++;
                // Every minute is much: in some zones.
                for (var i = walked.Contains(id) ? 0 : 1; i < crons.Length; i++)
                {
                    var firings = FiringsOf(repetitions[i], change - Reach, change + Reach);
                    if (!firings.Zip(firings.Skip(1)).All(pair => pair.First < pair.Second
                        && repetitions[i].NextAfter(random.NextInt64(pair.First, pair.Second)) == pair.Second)
                        || (walked.Contains(id) && !firings.TakeWhile(at => at <= change + Reach).SequenceEqual(
                            WalkOver(id, crons[i], change, matches))))
                        wrong.Add($"{crons[i]} in {id} around {DateTimeOffset.FromUnixTimeMilliseconds(change):O}");
                }
            }
        }
        Assert.True(wrong.Count == 0, $"Seed {seed}: {wrong.Count} wrong: {string.Join("; ", wrong.Take(10))}");
        Assert.True(changes > 500, $"Only {changes} changes of clocks.");
    }

    private const long Minute = 60_000;
    private const long Reach = 36 * 60 * Minute;

    private static List<long> FiringsOf(Repetition repetition, long after, long end)
    {
        var firings = new List<long>();
        // One behind the end is the last. A repetition that stands still ends by the count.
        while (after <= end && firings.Count < 5_000 && repetition.NextAfter(after) is { } next)
            firings.Add(after = next);
        return firings;
    }

    private static IEnumerable<long> WalkOver(string zone, string cron, long change, Dictionary<(string, long), bool> matches)
    {
        var found = TimeZoneInfo.FindSystemTimeZoneById(zone);
        var isInterval = cron.Split(' ')[..2].Any(field => field.AsSpan().ContainsAny("*-/"));
        var (utc, seen, last) = (Repetition.Parse(cron, "UTC"), new HashSet<long>(), (long?)null);
        for (var at = change - Reach - 24 * 60 * Minute; at <= change + Reach; at += Minute)
        {
            var local = at + OffsetOf(found, at);
            var fires = Matches(local) && (seen.Add(local) || isInterval);
            for (var skipped = last + Minute; skipped < local; skipped += Minute)
                fires |= Matches(skipped.Value);
            last = local;
            if (fires && at > change - Reach)
                yield return at;
        }

        bool Matches(long local)
        {
            if (!matches.TryGetValue((cron, local), out var isMatch))
                matches.Add((cron, local), isMatch = utc.NextAt(local) == local);
            return isMatch;
        }
    }

    private static IEnumerable<long> ChangesOf(TimeZoneInfo zone)
    {
        const long Step = 15 * Minute;
        var end = At("2032-01-01T00:00:00Z");
        for (var at = At("2026-01-01T00:00:00Z"); at < end;)
        {
            var next = at + 7 * 24 * 60 * Minute;
            if (OffsetOf(zone, next) == OffsetOf(zone, at))
            {
                at = next;
                continue;
            }
            for (var offset = OffsetOf(zone, at); OffsetOf(zone, at) == offset; at += Step)
                continue;
            yield return at;
        }
    }

    private static long OffsetOf(TimeZoneInfo zone, long at) =>
        (long)zone.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at).UtcDateTime).TotalMilliseconds;

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
    [InlineData("* * * * *", "Europe", "Europe/Berlin")]
    [InlineData("* * * * *", "America//Indiana/Knox", "Europe/Berlin")]
    [InlineData("* * * * *", "America/../Europe/Berlin", "Europe/Berlin")]
    [InlineData("* * * * *", "/usr/share/zoneinfo/UTC", "Europe/Berlin")]
    [InlineData("* * * * *", "W. Europe Standard Time", "IANA")]
    [InlineData("* * * * *", "tzdata.zi", "IANA")]
    [InlineData("* * * * *", "A23456789A23456789A23456789A23456789A23456789A23456789A23456789ABCD", "IANA")]
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
