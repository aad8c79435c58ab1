using OrleansMq.Records;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>The frames of one seed: connections of AMQP clients to one broker, a few at a time. The seed decides what is sent. Consumers
/// run beside, so that deliveries, and which of them are acknowledged, may differ when it is repeated.</summary>
/// <param name="seed">Decides the frames.</param>
internal sealed class AmqpBlock(long seed) : IFrameBlock
{
    private const int Connections = 3;
    private const int MostSteps = 10;

    private readonly Random _random = new((int)(seed ^ (seed >> 32)));

    /// <summary>How many commands channels have got.</summary>
    public int Decoded { get; private set; }

    /// <summary>How many frames the broker has written.</summary>
    public int Answered { get; private set; }

    /// <inheritdoc/>
    public async Task RunAsync()
    {
        await using var broker = await MemoryBroker.StartAsync();
        var clients = new Client?[Connections];
        var written = 0;
        try
        {
            while (written + clients.Sum(static client => client?.Script.Written ?? 0) < IFrameBlock.Frames)
            {
                var place = _random.Next(Connections);
                var client = clients[place] ??= new Client(broker, _random);
                await client.StepAsync();
                if (client.HasEnded)
                {
                    written += Take(client);
                    clients[place] = null;
                }
            }
            foreach (var client in clients.OfType<Client>())
            {
                await client.EndAsync();
                Take(client);
            }
        }
        catch (Exception fault) when (fault is not FuzzFailedException)
        {
            throw new FuzzFailedException(fault.Message, fault);
        }
        await broker.CheckEmptyAsync();
    }

    // Returns the frames that it has sent.
    private int Take(Client client)
    {
        Decoded += client.Connection.Commands;
        Answered += client.Connection.Written;
        return client.Script.Written;
    }

    /// <summary>A client with its connection.</summary>
    private sealed class Client
    {
        // Beyond the longest wait of a connection that closes, and of one that has not logged in.
        private static readonly TimeSpan LongerThanClosing = TimeSpan.FromSeconds(40);
        // What a fault tells.
        private const int ToldPieces = 6;
        private const int ToldBytes = 4_000;

        private readonly Random _random;
        private readonly PooledBuffer _bytes = new();
        private readonly Queue<byte[]> _last = new();
        private bool _hasBegun;
        private bool _isAlarmed;
        // Pieces since the machine waits for the rest of a frame.
        private int _stalled;

        public Client(MemoryBroker broker, Random random)
        {
            _random = random;
            Connection = new MemoryConnection(broker);
            Script = new ClientScript(random, Connection, _bytes);
        }

        public MemoryConnection Connection { get; }

        public ClientScript Script { get; }

        public bool HasEnded { get; private set; }

        /// <summary>Sends the next piece, or ends.</summary>
        public async Task StepAsync()
        {
            try
            {
                if (!_hasBegun)
                    await BeginAsync();
                else if (!Connection.IsRunning || _stalled > 20 || _random.Next(600) == 0)
                    await FinishAsync();
                else
                    await GoOnAsync();
            }
            catch (Exception fault)
            {
                throw Told(fault);
            }
        }

        /// <summary>Ends the connection.</summary>
        public async Task EndAsync()
        {
            try
            {
                await FinishAsync();
            }
            catch (Exception fault)
            {
                throw Told(fault);
            }
        }

        private async Task BeginAsync()
        {
            _hasBegun = true;
            Script.WriteHandshake();
            await SendAsync();
            if (Connection.IsRunning && _random.Next(2) == 0)
            {
                Script.WriteDeclarations();
                await SendAsync();
            }
        }

        private async Task GoOnAsync()
        {
            Script.Look();
            for (var steps = 1 + _random.Next(MostSteps); steps > 0; steps--)
                Script.Write();
            if (_random.Next(100) == 0)
                Connection.Wait(TimeSpan.FromSeconds(_random.Next(40)));
            if (_random.Next(100) == 0)
                Connection.Alarm(_isAlarmed = true);
            await SendAsync();
            if (_isAlarmed)
            {
                Connection.Alarm(_isAlarmed = false);
                await SendAsync();
            }
            _stalled = Connection.Waiting > 0 ? _stalled + 1 : 0;
        }

        // By the client's close, the broker's, or without one. The broker waits for no client for ever.
        private async Task FinishAsync()
        {
            switch (_random.Next(4))
            {
                case 0:
                    Connection.Disconnect();
                    break;
                case 1 when Connection.IsRunning:
                    Script.WriteClose();
                    await SendAsync();
                    break;
                case 2:
                    Connection.Close();
                    break;
            }
            await Connection.QuietAsync();
            if (Connection.IsClosing && _random.Next(3) > 0)
            {
                Script.WriteCloseOk();
                await SendAsync();
            }
            if (!Connection.IsEnded && !Connection.IsRunning)
                Connection.Wait(LongerThanClosing);
            else
                Connection.Disconnect();
            await Connection.QuietAsync();
            Connection.CheckEnded();
            HasEnded = true;
            _bytes.Dispose();
        }

        // Sends what was written, in one or two parts, and what the machine has left before.
        private async Task SendAsync()
        {
            var sent = _bytes.WrittenSpan.ToArray();
            _bytes.Clear();
            _last.Enqueue(sent);
            if (_last.Count > ToldPieces)
                _last.Dequeue();
            var first = _random.Next(8) == 0 ? _random.Next(sent.Length + 1) : sent.Length;
            await ReceiveAsync(sent.AsMemory(0, first));
            if (first < sent.Length)
                await ReceiveAsync(sent.AsMemory(first));
        }

        private async Task ReceiveAsync(ReadOnlyMemory<byte> bytes)
        {
            var taken = Connection.Receive(bytes.Span);
            await Connection.QuietAsync();
            while (taken > 0 && Connection.Waiting > 0)
            {
                taken = Connection.Receive(default);
                await Connection.QuietAsync();
            }
        }

        private FuzzFailedException Told(Exception fault)
        {
            var pieces = _last.Select(static piece => Convert.ToHexString(piece.AsSpan(0, Math.Min(piece.Length, ToldBytes))));
            return new FuzzFailedException($"{fault.Message}\nThe last pieces of the connection:\n{string.Join('\n', pieces)}", fault);
        }
    }
}
