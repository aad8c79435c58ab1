using System.Text;
using System.Text.Json;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>Produces and reads over HTTP, authenticated by a password.</summary>
internal sealed class GoodHttpClient(BrokerProcess broker) : IGoodClient
{
    private const string Path = "/api/topics/private-http";

    private readonly HttpClient _http = broker.Client("good", BrokerProcess.GoodPassword);

    /// <inheritdoc/>
    public Task ConnectAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task<long> AppendAsync(string value)
    {
        using var body = new StringContent(JsonSerializer.Serialize(new { value }), Encoding.UTF8, "application/x-ndjson");
        using var answer = await _http.PostAsync($"{Path}/records", body);
        return await OffsetAsync(answer);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<(long Offset, string Value)>> ReadAsync(long offset)
    {
        using var answer = await _http.GetAsync($"{Path}/partitions/0/records?offset={offset}&max=1000");
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode
            ? [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(static line => JsonSerializer.Deserialize<JsonElement>(line))
                .Select(static record => (record.GetProperty("offset").GetInt64(), record.GetProperty("value").GetString()!))]
            : throw new FuzzFailedException($"The good client's read was refused: {answer.StatusCode}, {text}");
    }

    public void Dispose() => _http.Dispose();

    private static async Task<long> OffsetAsync(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode && JsonSerializer.Deserialize<JsonElement>(text).TryGetProperty("offset", out var offset)
            ? offset.GetInt64() : throw new FuzzFailedException($"The good client's record was refused: {answer.StatusCode}, {text}");
    }
}
