using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Silo.Http;

public sealed class ScheduleApiTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    [Fact]
    public async Task Schedule_repeats_without_a_time_and_its_document_says_when()
    {
        var topic = await broker.CreateTopicAsync();
        using var created = await PostAsync(topic, """{"id":"x","cron":"0 9 29 2 *","timeZone":"Europe/Berlin","value":"v"}""");
        Assert.True(created.IsSuccessStatusCode, await created.Content.ReadAsStringAsync());
        foreach (var text in (string[])[await created.Content.ReadAsStringAsync(),
            await broker.Http.GetStringAsync($"/api/schedules/{topic}/x")])
        {
            var document = JsonDocument.Parse(text).RootElement;
            Assert.Equal(("0 9 29 2 *", "Europe/Berlin"), (document.GetProperty("cron").GetString(),
                document.GetProperty("timeZone").GetString()));
            Assert.Equal(8, document.GetProperty("at").GetDateTimeOffset().UtcDateTime.Hour);
        }
        using var once = await PostAsync(topic, """{"at":"2090-01-01T00:00:00Z"}""");
        Assert.DoesNotContain("cron", await once.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"value":"x"}""", "'at' is missing")]
    [InlineData("""{"value":"x","timeZone":"UTC"}""", "'at' is missing")]
    [InlineData("""{"at":"2090-01-01T00:00:00Z","timeZone":"UTC"}""", "without cron")]
    [InlineData("""{"cron":"* * * *"}""", "5 fields")]
    [InlineData("""{"cron":"0 25 * * *"}""", "Hours")]
    [InlineData("""{"cron":"0 9 * * *","timeZone":"Mars/Olympus"}""", "Europe/Berlin")]
    public async Task Bad_request_names_the_field_and_the_fix(string body, string expected)
    {
        using var refused = await PostAsync(await broker.CreateTopicAsync(), body);
        await RunningBroker.AssertProblemAsync(refused, 400, ErrorCode.InvalidRequest, expected);
    }

    private Task<HttpResponseMessage> PostAsync(string topic, string body) =>
        broker.Http.PostAsync($"/api/schedules/{topic}", new StringContent(body, Encoding.UTF8, "application/json"));
}
