using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Amqp;

/// <summary>RabbitMQ's management API at one address. The user and the password are in the address.</summary>
internal sealed class ManagementClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly string _address;

    private ManagementClient(Uri address)
    {
        // Without the password, for errors.
        _address = address.GetComponents(UriComponents.SchemeAndServer, UriFormat.UriEscaped);
        _http = new HttpClient { BaseAddress = new Uri(_address + "/api/"), Timeout = TimeSpan.FromMinutes(5) };
        var user = Uri.UnescapeDataString(address.UserInfo is { Length: > 0 } given ? given : "guest:guest");
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes(user)));
    }

    /// <summary>Creates a client. Sends nothing yet.</summary>
    /// <exception cref="CommandFailedException">The text is no address.</exception>
    public static ManagementClient At(string option, string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? new ManagementClient(address)
            : throw CommandFailedException.Usage($"{option} '{text}' is not the address of a management API. Write it like "
                + "http://user:password@host:15672.");

    /// <summary>Returns the definitions of all virtual hosts, or of one.</summary>
    public async Task<byte[]> ExportAsync(string? host, CancellationToken cancellationToken)
    {
        using var answer = await SendAsync(HttpMethod.Get, Definitions(host), null, cancellationToken).ConfigureAwait(false);
        return await answer.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Imports definitions, of all virtual hosts or into one. Returns what the broker left out.</summary>
    public async Task<IReadOnlyList<string>> ImportAsync(string? host, byte[] definitions, CancellationToken cancellationToken)
    {
        using var content = new ByteArrayContent(definitions);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using var answer = await SendAsync(HttpMethod.Post, Definitions(host) + "?left_out=true", content, cancellationToken)
            .ConfigureAwait(false);
        return (await answer.Content.ReadFromJsonAsync(AmqpJson.Default.ImportAnswer, cancellationToken).ConfigureAwait(false))?.LeftOut
            ?? [];
    }

    /// <summary>Returns the queues of a virtual host.</summary>
    public async Task<IReadOnlyList<ListedQueue>> QueuesAsync(string host, CancellationToken cancellationToken)
    {
        using var answer = await SendAsync(HttpMethod.Get, "queues/" + Uri.EscapeDataString(host), null, cancellationToken)
            .ConfigureAwait(false);
        return await answer.Content.ReadFromJsonAsync(AmqpJson.Default.IReadOnlyListListedQueue, cancellationToken).ConfigureAwait(false)
            ?? [];
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static string Definitions(string? host) => host is null ? "definitions" : "definitions/" + Uri.EscapeDataString(host);

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content,
        CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        HttpResponseMessage answer;
        try
        {
            answer = await _http.SendAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (HttpRequestException e)
        {
            throw new CommandFailedException(ExitCode.Unreachable, $"No management API answers at {_address}: {e.Message}", e);
        }
        if (answer.IsSuccessStatusCode)
            return answer;
        using (answer)
        {
            var body = await answer.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false);
            throw CommandFailedException.Refused($"{_address} refused {method} /api/{path.Split('?')[0]} with {(int)answer.StatusCode}: "
                + (body.Length > 0 ? body : answer.ReasonPhrase));
        }
    }
}

/// <summary>What an import left out.</summary>
/// <param name="LeftOut">Parts of the definitions, by name.</param>
internal sealed record ImportAnswer([property: JsonPropertyName("left_out")] IReadOnlyList<string> LeftOut);

/// <summary>A queue that the management API lists.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">classic, quorum or stream.</param>
/// <param name="Exclusive">Whether it belongs to a connection.</param>
internal sealed record ListedQueue(string Name, string? Type, bool Exclusive);

/// <summary>The JSON of the AMQP commands.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ImportAnswer))]
[JsonSerializable(typeof(IReadOnlyList<ListedQueue>))]
[JsonSerializable(typeof(ShovelSummary))]
internal sealed partial class AmqpJson : JsonSerializerContext;
