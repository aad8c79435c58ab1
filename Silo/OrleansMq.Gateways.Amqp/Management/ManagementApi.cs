using System.Buffers;
using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Management.Peers;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http.Security;
using OrleansMq.Hosting;
using OrleansMq.Quotas;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>
/// Answers the requests of the management API. It keeps no state: it reads the images of the virtual hosts, sends what changes them to
/// their owner, as channels do, and asks all brokers for their connections. In paths each part is percent-encoded by itself, so that
/// <c>%2F</c> is the virtual host <c>/</c>.
/// </summary>
/// <param name="amqp">The gateway.</param>
/// <param name="broker">The broker.</param>
/// <param name="management">The listener.</param>
/// <param name="log">The log.</param>
internal sealed partial class ManagementApi(AmqpGateway amqp, HostedBroker broker, ManagementGateway management, EngineLog log)
{
    // A plus sign of base64 stays as it is.
    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private const string Version = ConnectionSettings.RabbitMqVersion;

    // What all lists hold of pages that are not sent yet: those of 1,000 questions.
    private readonly RequestBudget _pages = new(1_000L * PeerPage.Bytes);
    private readonly BrokerAnswers _own = new(amqp, broker.BrokerId, log);
    private readonly ClusterAnswers _cluster = new(new BrokerAnswers(amqp, broker.BrokerId, log), broker, log);

    private string Node => BrokerAnswers.NodeOf(broker.BrokerId);

    /// <summary>Answers a request.</summary>
    public async Task AnswerAsync(HttpContext context)
    {
        try
        {
            await HandleAsync(context).ConfigureAwait(false);
        }
        catch (ManagementException refused)
        {
            await RefuseAsync(context, refused).ConfigureAwait(false);
        }
        catch (AmqpRefusedException refused)
        {
            await RefuseAsync(context, refused.Refusal.Code switch
            {
                AmqpCode.NotFound => ManagementException.NotFound(),
                AmqpCode.AccessRefused => ManagementException.NotAuthorized(refused.Refusal.ReplyText),
                _ => ManagementException.Bad(refused.Refusal.ReplyText),
            }).ConfigureAwait(false);
        }
        catch (AmqpException refused)
        {
            await RefuseAsync(context, refused.Code switch
            {
                ReplyCode.NotFound => ManagementException.NotFound(),
                ReplyCode.AccessRefused => ManagementException.NotAuthorized(refused.ReplyText),
                ReplyCode.InternalError => new ManagementException(StatusCodes.Status503ServiceUnavailable, "service_unavailable",
                    refused.ReplyText),
                _ => ManagementException.Bad(refused.ReplyText),
            }).ConfigureAwait(false);
        }
        catch (JsonException wrong)
        {
            await RefuseAsync(context, ManagementException.Bad($"body: not JSON: {wrong.Message}")).ConfigureAwait(false);
        }
        catch (FormatException wrong)
        {
            await RefuseAsync(context, ManagementException.Bad(wrong.Message)).ConfigureAwait(false);
        }
        catch (BadHttpRequestException wrong)
        {
            await RefuseAsync(context, new ManagementException(wrong.StatusCode, "bad_request", wrong.Message)).ConfigureAwait(false);
        }
        catch (Exception unavailable) when (unavailable is BrokerException or NotSupportedException or QueueGoneException)
        {
            await RefuseAsync(context, new ManagementException(StatusCodes.Status503ServiceUnavailable, "service_unavailable",
                unavailable.Message)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has gone.
        }
        catch (Exception fault)
        {
            log.Write(EngineLogLevel.Error, $"'{context.Request.Method} {context.Request.Path}' could not be answered.", fault);
            await RefuseAsync(context, new ManagementException(StatusCodes.Status500InternalServerError, "internal_error",
                "the broker met a fault; see its log")).ConfigureAwait(false);
        }
    }

    /// <summary>Answers that a request is refused.</summary>
    public static Task RefuseAsync(HttpContext context, ManagementException refused)
    {
        if (context.Response.HasStarted)
        {
            // An answer that breaks off must not look complete.
            context.Abort();
            return Task.CompletedTask;
        }
        if (refused.Status == StatusCodes.Status401Unauthorized)
            context.Response.Headers.WWWAuthenticate = "Basic realm=\"OrleansMq\"";
        return WriteAsync(context, refused.Status, writer =>
        {
            writer.WriteStartObject();
            writer.WriteString("error", refused.Error);
            writer.WriteString("reason", refused.Message);
            writer.WriteEndObject();
        });
    }

    private async Task HandleAsync(HttpContext context)
    {
        var registry = await amqp.OpenQueuesAsync().ConfigureAwait(false);
        var user = await ManagementUser.OfAsync(context.Request, registry).ConfigureAwait(false);
        var request = new ManagementRequest(context, registry, user, management.Parsed);
        ConnectionGuard.Accept(context);
        if (PaceOf(request) is { } pace && !pace.IsFree(QuotaKey.RequestPercentage))
        {
            // For what reads the body.
            context.Features.Set(pace);
            await pace.RunAsync(() => HandleAsync(request), context.RequestAborted).ConfigureAwait(false);
        }
        else
        {
            await HandleAsync(request).ConfigureAwait(false);
        }
    }

    private async Task HandleAsync(ManagementRequest request)
    {
        var context = request.Context;
        var path = PathOf(context);
        if (path is not ["api", .. var rest])
            throw ManagementException.NotFound();
        var method = HttpMethods.IsHead(context.Request.Method) ? HttpMethods.Get : context.Request.Method;
        if (method == HttpMethods.Get)
            await (await AnswerGetAsync(request, rest).ConfigureAwait(false))(context).ConfigureAwait(false);
        else if (method == HttpMethods.Post && await AnswerPostAsync(request, rest).ConfigureAwait(false) is { } answerAsync)
        {
            request.Release();
            await answerAsync(context).ConfigureAwait(false);
        }
        else if (await ChangeAsync(request, method, rest).ConfigureAwait(false) is var status)
            context.Response.StatusCode = status;
    }

    private async Task<Func<HttpContext, Task>> AnswerGetAsync(ManagementRequest request, string[] path)
    {
        if (await ReadConnectionsAsync(request, path).ConfigureAwait(false) is { } answerAsync)
            return answerAsync;
        var write = await ReadAsync(request, path).ConfigureAwait(false);
        return context => WriteAsync(context, StatusCodes.Status200OK, write);
    }

    // The server decodes all but the slash; here each part is decoded by itself.
    private static string[] PathOf(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var end = target.IndexOf('?', StringComparison.Ordinal);
        var parts = (end < 0 ? target : target[..end]).Trim('/').Split('/');
        return [.. parts.Select(Uri.UnescapeDataString)];
    }

    private static async Task WriteAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, Json))
            write(writer);
        BeginAnswer(context, status);
        context.Response.ContentLength = buffer.WrittenCount;
        if (!HttpMethods.IsHead(context.Request.Method))
            await context.Response.Body.WriteAsync(buffer.WrittenMemory, context.RequestAborted).ConfigureAwait(false);
    }

    private static void BeginAnswer(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "no-cache";
    }
}

/// <summary>A request of the management API.</summary>
/// <param name="Context">The request.</param>
/// <param name="Registry">The open queues.</param>
/// <param name="User">Its user.</param>
/// <param name="Parsed">The memory of the objects of bodies.</param>
internal sealed record ManagementRequest(HttpContext Context, QueueRegistry Registry, ManagementUser User, ParsedBodies Parsed)
{
    /// <summary>The most bytes of a body that is no import: 1 MiB. A declaration has far fewer, and messages are published for a look.
    /// </summary>
    public const int MaxBodyBytes = 1 << 20;

    // The memory of the body's objects.
    private ParsedBodies.Place? _place;

    // A part of a body that is read at a time.
    private const int ReadBytes = 64 << 10;

    /// <summary>The virtual hosts.</summary>
    public IVirtualHosts Hosts => Registry.Hosts;

    /// <summary>The images of the virtual hosts that the user sees.</summary>
    public ImmutableArray<VirtualHostImage> Visible =>
        [.. Hosts.Names.Select(Hosts.Find).OfType<VirtualHostImage>().Where(User.Sees)];

    /// <summary>Returns a virtual host that the user sees.</summary>
    /// <exception cref="ManagementException">It does not exist, or the user must not see it.</exception>
    public async ValueTask<VirtualHostImage> SeeAsync(string name)
    {
        var image = Hosts.Find(name) ?? await Hosts.RefreshAsync(name, Context.RequestAborted).ConfigureAwait(false)
            ?? throw ManagementException.NotFound();
        ManagementUser.Demand(User.Sees(image), "monitor");
        return image;
    }

    /// <summary>Returns a virtual host in which the user has permissions, and what it may do there.</summary>
    /// <exception cref="ManagementException">It does not exist, or the user has none.</exception>
    public async ValueTask<(VirtualHostImage Image, UserAccess Access)> EnterAsync(string name)
    {
        var image = await SeeAsync(name).ConfigureAwait(false);
        if (!User.MayOpen(image))
            throw ManagementException.NotAuthorized($"User not authorized to access virtual host '{name}'");
        return (image, image.AccessOf(User.State, Registry.ReportSlowPermission));
    }

    /// <summary>Reads the body; an empty one is an empty object.</summary>
    /// <exception cref="JsonException">It is not JSON.</exception>
    /// <exception cref="FormatException">It is no object.</exception>
    /// <exception cref="ManagementException">It has more than <see cref="MaxBodyBytes"/>, or other requests have the memory for its
    /// objects.</exception>
    public async Task<JsonFields> BodyAsync()
    {
        var body = await ReadAsync(MaxBodyBytes, "publish larger messages over AMQP", static _ => { }).ConfigureAwait(false);
        using var document = JsonDocument.Parse(body.Length == 0 ? "{}"u8.ToArray() : body);
        return new JsonFields(document.RootElement.Clone(), "body");
    }

    /// <summary>Reads definitions. They may be large: the caller holds a lease of the memory for all of them while it uses them.</summary>
    /// <param name="most">The most bytes.</param>
    /// <param name="lease">Takes the memory as bytes arrive.</param>
    /// <exception cref="ManagementException">They are larger, or other imports have the memory.</exception>
    public Task<byte[]> DefinitionsAsync(long most, RequestLease lease) => ReadAsync(most, "import the definitions in parts", read =>
    {
        if (!lease.TryTake(read))
            throw ManagementException.Unavailable("other imports have all the memory for definitions: retry");
    });

    private Task<byte[]> ReadAsync(long most, string advice, Action<int> take) =>
        SessionPace.ReceiveAsync(ParseableAsync(most, advice, take), Context.Features.Get<SessionPace>()).AsTask();

    /// <summary>Returns the memory of the body's objects, which are not needed any more: a client may take as long as it likes to read the
    /// answer.</summary>
    public void Release() => _place?.Dispose();

    // The bytes, once there is memory for the objects, which are used until the request is answered or releases them.
    private async ValueTask<byte[]> ParseableAsync(long most, string advice, Action<int> take)
    {
        var body = await BytesAsync(most, advice, take).ConfigureAwait(false);
        if (body.Length >= ParsedBodies.FreeBytes)
        {
            _place = await Parsed.TryTakeAsync(body.Length, Context.RequestAborted).ConfigureAwait(false)
                ?? throw ManagementException.Unavailable("other requests have all the memory for large bodies: retry");
            Context.Response.RegisterForDispose(_place);
        }
        return body;
    }

    private async Task<byte[]> BytesAsync(long most, string advice, Action<int> take)
    {
        if (Context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = most;
        using var body = new MemoryStream();
        var buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
        try
        {
            while (await Context.Request.Body.ReadAsync(buffer, Context.RequestAborted).ConfigureAwait(false) is > 0 and var read)
            {
                take(read);
                body.Write(buffer, 0, read);
            }
        }
        catch (BadHttpRequestException wrong) when (wrong.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            throw ManagementException.TooLarge($"body: has more than {most} bytes, the most that are allowed here: {advice}");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        return body.ToArray();
    }

    /// <summary>Whether a parameter of the query is true.</summary>
    public bool Flag(string name) => Context.Request.Query[name] == "true";
}
