package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// kind is a way in which a picture differs from those of the data set.
type kind string

// The kinds of pictures. Where that is not the point of a kind, a picture is grey,
// white on black, of 28 to 112 pixels a side, and little compressed.
const (
	kindPlain      kind = "plain"  // 28 x 28, quality 90: the digit of the data set
	kindLarger     kind = "larger" // up to 512 x 512
	kindInverted   kind = "black on white"
	kindColoured   kind = "coloured"   // pen and paper, that differ enough in brightness
	kindOffCentre  kind = "off centre" // anywhere on a larger paper, of any shape
	kindCompressed kind = "compressed" // quality 20 to 40
	kindTurned     kind = "turned"     // by up to 15 degrees
	kindBlurred    kind = "blurred"
	kindNoisy      kind = "noisy"
	kindTogether   kind = "all together" // some of each

	// As a camera sees ink on paper beside a window. It is no part of changes.
	kindPhotographed kind = "photographed"
)

// changes are the kinds that a picture of the data set is changed to.
var changes = []kind{kindLarger, kindInverted, kindColoured, kindOffCentre, kindCompressed, kindTurned, kindBlurred, kindNoisy, kindTogether}

// jpeg returns a picture of a digit as a JPEG file.
func (d *digit) jpeg(k kind, seed uint64) []byte {
	s := shot{width: digitSide, height: digitSide, side: digitSide, pen: gray(255), paper: gray(0), quality: 90}
	if k != kindPlain {
		s.vary(k, rand.New(rand.NewPCG(seed, 7)))
	}
	return s.take(d)
}

// camera returns a picture that is as large as a telephone takes them, in colour and
// with noise, so that there is something in every block of it.
func (d *digit) camera() []byte {
	s := shot{
		width: 4032, height: 3024, side: 2600, left: 900, top: 200,
		pen: color.RGBA{40, 50, 120, 255}, paper: color.RGBA{235, 225, 205, 255},
		noise: 6, quality: 90, rnd: rand.New(rand.NewPCG(0, 7)),
	}
	return s.take(d)
}

// shot is how a picture of a digit is taken.
type shot struct {
	width, height int     // of the picture, in pixels
	side          float64 // of the digit's 28 x 28, in pixels
	left, top     float64 // where it lies
	turn          float64 // around its centre, in radians
	blur          float64 // standard deviation, in pixels
	pen, paper    color.RGBA
	noise         float64 // standard deviation, in grey levels
	light         light
	quality       int
	rnd           *rand.Rand // for the noise
}

// vary sets a shot as a kind says.
func (s *shot) vary(k kind, rnd *rand.Rand) {
	between := func(low, high float64) float64 { return low + rnd.Float64()*(high-low) }
	square := func(side float64) {
		s.side = math.Round(side)
		s.width, s.height = int(s.side), int(s.side)
	}
	s.rnd = rnd
	s.quality = int(between(75, 95))
	square(between(28, 112))
	// In pixels of the data set.
	soft := func(low, high float64) { s.blur = between(low, high) * s.side / digitSide }
	turned := func(degrees float64) { s.turn = between(-degrees, degrees) * math.Pi / 180 }
	away := func() {
		s.width = int(s.side * between(1.2, 2.5))
		s.height = int(s.side * between(1.2, 2.5))
		s.left = between(0, float64(s.width)-s.side)
		s.top = between(0, float64(s.height)-s.side)
	}
	switch k {
	case kindLarger:
		square(between(56, 512))
	case kindInverted:
		s.pen, s.paper = s.paper, s.pen
	case kindColoured:
		s.pen, s.paper = colours(rnd, 80)
	case kindOffCentre:
		away()
	case kindCompressed:
		s.quality = int(between(20, 41))
	case kindTurned:
		turned(15)
	case kindBlurred:
		soft(0.3, 0.9)
	case kindNoisy:
		s.noise = between(4, 20)
	case kindTogether:
		square(between(40, 160))
		away()
		s.pen, s.paper = colours(rnd, 100)
		turned(8)
		soft(0.1, 0.5)
		s.noise = between(0, 8)
		s.quality = int(between(40, 90))
	case kindPhotographed:
		square(between(100, 250))
		away()
		s.paper, s.pen = gray(uint8(between(170, 250))), gray(uint8(between(10, 70)))
		turned(8)
		soft(0.1, 0.4)
		s.noise = between(1, 6)
		s.light = light{
			direction: between(0, 2*math.Pi), fall: between(0.2, 0.5),
			edge: between(0.2, 0.8), shadow: between(0, 0.2), softness: between(0.05, 0.2),
		}
	}
}

// light falls on a picture from one side, and something may throw a shadow on it.
type light struct {
	direction float64 // that it becomes less in, in radians
	fall      float64 // by how much of itself, from side to side
	edge      float64 // of the shadow, as a part of the way
	shadow    float64 // how much it takes away
	softness  float64 // of its edge, as a part of the way
}

// at returns how much of the light is at a point, whose coordinates are 0 to 1.
func (l light) at(x, y float64) float64 {
	sin, cos := math.Sincos(l.direction)
	way := 0.5 + (x-0.5)*cos + (y-0.5)*sin
	bright := 1 - l.fall*way
	if l.shadow > 0 {
		bright -= l.shadow / (1 + math.Exp(-(way-l.edge)/(l.softness/4)))
	}
	return bright
}

// colours returns two colours whose brightness differs by so many levels.
func colours(rnd *rand.Rand, levels float64) (pen, paper color.RGBA) {
	for {
		c := rnd.Uint64()
		pen = color.RGBA{uint8(c), uint8(c >> 8), uint8(c >> 16), 255}
		paper = color.RGBA{uint8(c >> 24), uint8(c >> 32), uint8(c >> 40), 255}
		if math.Abs(brightness(pen)-brightness(paper)) >= levels {
			return pen, paper
		}
	}
}

// brightness is what JPEG calls luma.
func brightness(c color.RGBA) float64 {
	return 0.299*float64(c.R) + 0.587*float64(c.G) + 0.114*float64(c.B)
}

func gray(level uint8) color.RGBA { return color.RGBA{level, level, level, 255} }

func isGray(c color.RGBA) bool { return c.R == c.G && c.G == c.B }

// take takes the picture.
func (s *shot) take(d *digit) []byte {
	ink := s.ink(d)
	blur(ink, s.width, s.height, s.blur)
	noise := func() float64 { return 0 }
	if s.noise > 0 {
		noise = func() float64 { return s.noise * s.rnd.NormFloat64() }
	}
	level := func(i int, pen, paper uint8) uint8 {
		value := float64(paper) + float64(ink[i])*(float64(pen)-float64(paper))
		if s.light != (light{}) {
			value *= s.light.at(float64(i%s.width)/float64(s.width), float64(i/s.width)/float64(s.height))
		}
		value += noise()
		return uint8(min(max(math.Round(value), 0), 255))
	}
	area := image.Rect(0, 0, s.width, s.height)
	var picture image.Image
	if isGray(s.pen) && isGray(s.paper) {
		g := image.NewGray(area)
		for i := range ink {
			g.Pix[i] = level(i, s.pen.R, s.paper.R)
		}
		picture = g
	} else {
		c := image.NewRGBA(area)
		for i := range ink {
			at := c.Pix[4*i : 4*i+4]
			at[0], at[1], at[2], at[3] = level(i, s.pen.R, s.paper.R), level(i, s.pen.G, s.paper.G), level(i, s.pen.B, s.paper.B), 255
		}
		picture = c
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: s.quality}); err != nil {
		panic(err) // a buffer takes everything, and no picture is too large
	}
	return file.Bytes()
}

// ink returns how much ink is on each pixel, 0 to 1: the digit enlarged, turned
// and laid on the paper, by bilinear interpolation.
func (s *shot) ink(d *digit) []float32 {
	ink := make([]float32, s.width*s.height)
	scale := digitSide / s.side
	sin, cos := math.Sincos(s.turn)
	x0, y0 := s.left+s.side/2, s.top+s.side/2
	for y := range s.height {
		for x := range s.width {
			dx, dy := (float64(x)+0.5-x0)*scale, (float64(y)+0.5-y0)*scale
			u, v := cos*dx+sin*dy+digitSide/2-0.5, cos*dy-sin*dx+digitSide/2-0.5
			if u <= -1 || v <= -1 || u >= digitSide || v >= digitSide {
				continue
			}
			ink[y*s.width+x] = d.between(u, v)
		}
	}
	return ink
}

// between interpolates between the four pixels around a point.
func (d *digit) between(u, v float64) float32 {
	x, y := int(math.Floor(u)), int(math.Floor(v))
	fx, fy := float32(u-float64(x)), float32(v-float64(y))
	at := func(x, y int) float32 {
		if x < 0 || y < 0 || x >= digitSide || y >= digitSide {
			return 0
		}
		return float32(d.ink[y*digitSide+x]) / 255
	}
	above := at(x, y)*(1-fx) + at(x+1, y)*fx
	below := at(x, y+1)*(1-fx) + at(x+1, y+1)*fx
	return above*(1-fy) + below*fy
}

// blur convolves with a Gaussian. What lies outside is like the edge.
func blur(ink []float32, width, height int, sigma float64) {
	if sigma < 0.1 {
		return
	}
	reach := int(math.Ceil(2.5 * sigma))
	kernel := make([]float32, 2*reach+1)
	sum := float32(0)
	for i := range kernel {
		kernel[i] = float32(math.Exp(-float64((i-reach)*(i-reach)) / (2 * sigma * sigma)))
		sum += kernel[i]
	}
	along := func(start, step, length int) {
		line := make([]float32, length)
		for i := range line {
			for k, weight := range kernel {
				line[i] += weight / sum * ink[start+step*min(max(i+k-reach, 0), length-1)]
			}
		}
		for i, v := range line {
			ink[start+step*i] = v
		}
	}
	for y := range height {
		along(y*width, 1, width)
	}
	for x := range width {
		along(x, width, height)
	}
}
