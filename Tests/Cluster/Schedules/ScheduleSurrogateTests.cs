using OrleansMq.Api;
using OrleansMq.Grains.Serialization;

namespace OrleansMq.Tests.Cluster.Schedules;

public sealed class ScheduleSurrogateTests
{
    [Fact]
    public void Schedule_that_repeats_is_far_ahead_for_a_silo_that_knows_no_repetition()
    {
        var converter = new NewScheduleConverter();
        var once = new NewSchedule("orders") { Id = "x", At = new DateTimeOffset(2030, 1, 2, 3, 4, 5, TimeSpan.Zero) };
        foreach (var schedule in (NewSchedule[])[once, once with { Cron = "0 9 * * *", TimeZone = "Europe/Berlin" },
            once with { Cron = "0 9 * * *", At = default }])
        {
            var sent = converter.ConvertToSurrogate(schedule);
            Assert.Equal(schedule.Cron is null ? 2030 : 9000, sent.At.Year);
            var received = converter.ConvertFromSurrogate(sent);
            Assert.Equal((schedule.At, schedule.Cron, schedule.TimeZone), (received.At, received.Cron, received.TimeZone));
            // What such a silo reads.
            sent.Cron = sent.TimeZone = null;
            Assert.Equal(sent.At, converter.ConvertFromSurrogate(sent).At);
        }
    }
}
